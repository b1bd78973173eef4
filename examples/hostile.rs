//! Writes hostile files, each one kind of excess that a stranger can put into a recording: `hostile DIRECTORY SIZE`.
//! What rtrace takes for them is then measured.

use std::path::Path;

#[path = "../tests/suite/hostile/files.rs"]
#[expect(clippy::pedantic, reason = "shared with the tests, and not of the program")]
mod files;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(size)) = (args.next(), args.next().and_then(|it| it.parse().ok()))
    else {
        eprintln!("usage: hostile DIRECTORY SIZE");
        std::process::exit(2);
    };
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    for (name, made) in files::FILES {
        std::fs::write(directory.join(name), made(size))?;
    }
    for (name, made) in files::DOCUMENTS {
        std::fs::write(directory.join(name), made(size))?;
    }
    for (name, file) in files::configurations() {
        std::fs::write(directory.join(format!("config-{name}.pcapng")), file)?;
    }
    for (number, file) in files::lengths().iter().enumerate() {
        std::fs::write(directory.join(format!("length-{number}.pcapng")), file)?;
    }
    Ok(())
}
