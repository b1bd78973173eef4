//! The public face of `rtrace-core`, as a list that is committed: whoever changes it sees that.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, ImplItem, Item, Signature, TraitItem, Type, Visibility};

/// Every public declaration of these files, a line each, in order. What a private module declares public is in it, too: it
/// may be passed on.
pub fn of(code: &[(String, String)]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (name, text) in code {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let module = name.trim_end_matches("/mod").replace('/', "::");
        let mut face = Face { module, lines: Vec::new() };
        face.visit_file(&file);
        lines.append(&mut face.lines);
    }
    lines.sort();
    lines.dedup();
    lines.join("\n") + "\n"
}

struct Face {
    module: String,
    lines: Vec<String>,
}

impl Face {
    fn line(&mut self, what: &str) {
        self.lines.push(format!("{}: {what}", self.module));
    }

    fn signature(&mut self, of: &str, signature: &Signature) {
        self.line(&format!("{of}{}", plain(signature)));
    }

    /// The line of a type, with a mark if it may grow.
    fn of_type(&mut self, attributes: &[Attribute], what: &str) {
        let grows = attributes.iter().any(|it| plain(&it.meta).contains("non_exhaustive"));
        self.line(&format!("{}{what}", if grows { "non_exhaustive " } else { "" }));
    }

    fn fields(&mut self, of: &str, fields: &Fields, all: bool) {
        for field in fields.iter().filter(|it| all || is_public(&it.vis)) {
            let name = field.ident.as_ref().map_or("_".to_owned(), ToString::to_string);
            self.line(&format!("{of}.{name}: {}", plain(&field.ty)));
        }
    }
}

/// Tokens as one writes them, near enough.
fn plain(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (long, short) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" : ", ": "),
        (" ,", ","),
        (" < ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
    ] {
        text = text.replace(long, short);
    }
    text.replace(",)", ")")
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn name_of(self_type: &Type) -> String {
    plain(self_type)
}

impl<'a> Visit<'a> for Face {
    fn visit_item(&mut self, item: &'a Item) {
        match item {
            Item::Const(it) if is_public(&it.vis) => {
                self.line(&format!("const {}: {}", it.ident, plain(&it.ty)));
            }
            Item::Fn(it) if is_public(&it.vis) => self.signature("", &it.sig),
            Item::Type(it) if is_public(&it.vis) => {
                self.line(&format!("type {} = {}", it.ident, plain(&it.ty)));
            }
            Item::Struct(it) if is_public(&it.vis) => {
                self.of_type(&it.attrs, &format!("struct {}{}", it.ident, plain(&it.generics)));
                self.fields(&it.ident.to_string(), &it.fields, false);
            }
            Item::Enum(it) if is_public(&it.vis) => {
                self.of_type(&it.attrs, &format!("enum {}{}", it.ident, plain(&it.generics)));
                for variant in &it.variants {
                    let name = format!("{}::{}", it.ident, variant.ident);
                    self.line(&name);
                    self.fields(&name, &variant.fields, true);
                }
            }
            Item::Trait(it) if is_public(&it.vis) => {
                self.line(&format!("trait {}{}", it.ident, plain(&it.generics)));
                for method in &it.items {
                    if let TraitItem::Fn(method) = method {
                        self.signature(&format!("{}::", it.ident), &method.sig);
                    }
                }
            }
            Item::Impl(it) if it.trait_.is_none() => {
                let of = name_of(&it.self_ty);
                for item in &it.items {
                    match item {
                        ImplItem::Fn(method) if is_public(&method.vis) => {
                            self.signature(&format!("{of}::"), &method.sig);
                        }
                        ImplItem::Const(it) if is_public(&it.vis) => {
                            self.line(&format!("{of}::const {}: {}", it.ident, plain(&it.ty)));
                        }
                        _ => {}
                    }
                }
            }
            Item::Use(it) if is_public(&it.vis) => {
                self.line(&format!("use {}", plain(&it.tree)));
            }
            Item::Mod(it) if is_public(&it.vis) => self.line(&format!("mod {}", it.ident)),
            _ => visit::visit_item(self, item),
        }
    }
}
