//! Every trace of a capture file, whoever made it: `cargo run --example recorded -- FILE`.

use std::error::Error;

use rtrace::replay::Recording;

/// A line for each trace: where it went, who made it, how long its path is.
pub(crate) fn lines(file: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for trace in Recording::open(file)?.traces()? {
        let hops = trace.paths.last().and_then(rtrace::trace::Path::last_ttl).unwrap_or(0);
        let tool = trace.tool.unwrap_or("an unknown tool");
        lines.push(format!("{} by {tool}: {hops} hops", trace.config.target));
    }
    Ok(lines)
}

/// Prints them of the file that is named.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("which file?")?;
    lines(&file)?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
