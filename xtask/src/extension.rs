//! The sidebar's archives, as a store of extensions takes them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipWriter};

use crate::shell::say;

/// Packs every unpacked extension of `extension/dist/` beside its folder.
pub fn pack() -> Result<()> {
    for folder in sorted(Path::new("extension/dist"))?.iter().filter(|path| path.is_dir()) {
        let archive = folder.with_extension("zip");
        let mut zip =
            ZipWriter::new(File::create(&archive).with_context(|| format!("creating {}", archive.display()))?);
        add(&mut zip, folder, folder)?;
        zip.finish()?;
        say(&format!("{}: {:.2} MB", archive.display(), fs::metadata(&archive)?.len() as f64 / 1e6));
    }
    Ok(())
}

/// Adds a folder's files under their paths from `root`; the same files always give the same archive.
fn add(zip: &mut ZipWriter<File>, root: &Path, folder: &Path) -> Result<()> {
    let options = SimpleFileOptions::default().last_modified_time(DateTime::default());
    for path in sorted(folder)? {
        if path.is_dir() {
            add(zip, root, &path)?;
            continue;
        }
        let name: Vec<_> = path.strip_prefix(root)?.iter().map(|part| part.to_string_lossy()).collect();
        zip.start_file(name.join("/"), options)?;
        io::copy(&mut File::open(&path)?, zip)?;
    }
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
