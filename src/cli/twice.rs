//! A recording that is read twice: what cannot go back to its beginning, stdin and pipes, is copied to a temporary file.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::Context;

use crate::capture::CaptureReader;
use crate::privilege::files;

/// The file, from its beginning.
pub(super) fn again<'a>(
    file: &'a mut File,
    name: &str,
) -> anyhow::Result<CaptureReader<&'a mut File>> {
    file.rewind().with_context(|| format!("cannot read {name} a second time"))?;
    reader(file, name)
}

/// Reads a capture, whoever made it.
pub(super) fn reader<'a>(
    file: &'a mut File,
    name: &str,
) -> anyhow::Result<CaptureReader<&'a mut File>> {
    Ok(CaptureReader::new(file, name)?.finding_clock_steps())
}

/// What messages call a recording.
pub(super) fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

/// A file that can be read twice: stdin and pipes are copied to a temporary one first.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    if path == Path::new("-") {
        return copied(&mut io::stdin().lock(), &name_of(path));
    }
    let opened = files::read(path).with_context(|| format!("cannot open {}", path.display()));
    let mut file = opened?;
    let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    if is_pipe { copied(&mut file, &name_of(path)) } else { Ok(file) }
}

/// How many octets show whether the input can be read at all.
const FIRST: u64 = 4_096;

/// Whether these are the first octets of a capture, or of a JSON document.
fn may_be_read(first: &[u8]) -> bool {
    let is_document = matches!(first.trim_ascii_start().first(), Some(b'{' | b'[') | None);
    let magic = first.first_chunk::<4>().map(|magic| u32::from_be_bytes(*magic));
    let magics = [0xa1b2_c3d4, 0xd4c3_b2a1, 0xa1b2_3c4d, 0x4d3c_b2a1, 0x0a0d_0d0a];
    is_document || magic.is_some_and(|magic| magics.contains(&magic))
}

fn copied(from: &mut dyn Read, name: &str) -> anyhow::Result<File> {
    let copy = tempfile::tempfile().with_context(|| format!("cannot make a copy of {name}"));
    let mut copy = copy?;
    let mut first = Vec::new();
    let copying = || format!("cannot copy {name}");
    from.take(FIRST).read_to_end(&mut first).with_context(copying)?;
    copy.write_all(&first).with_context(copying)?;
    // Input that is neither a capture nor a document is not read to its end.
    if may_be_read(&first) {
        io::copy(from, &mut copy).with_context(copying)?;
    }
    copy.rewind().with_context(|| format!("cannot read the copy of {name}"))?;
    Ok(copy)
}
