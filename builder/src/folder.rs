//! Folders and archives: the source is unpacked into one, and what the command leaves there is packed.

use std::{
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::Path,
};

use flate2::read::GzDecoder;
use flint_package::{Draft, Error, Limits, Mode, Packed};

/// Unpacks a package into a folder, which is made. Its digest has been looked at: it is one that the operator packed.
pub(crate) fn unpack(archive: File, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    archive.set_preserve_mtime(false);
    archive.unpack(folder)
}

/// Packs a folder into a file: the same content is the same package, whenever it was made.
///
/// # Errors
/// When it holds more than `most` bytes, or what has no place in a package.
pub(crate) fn pack(folder: &Path, most: u64, spool: File, output: File) -> Result<Packed, Error> {
    let limits = Limits { unpacked: most, ..Limits::default() };
    let mut draft = Draft::new(spool, limits);
    add(&mut draft, folder, folder)?;
    let (packed, _) = draft.finish(io::BufWriter::new(output))?;
    Ok(packed)
}

fn add(draft: &mut Draft<File>, root: &Path, folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::Spool)? {
        let entry = entry.map_err(Error::Spool)?;
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes();
        let kind = entry.file_type().map_err(Error::Spool)?;
        if kind.is_dir() {
            draft.folder(name)?;
            add(draft, root, &path)?;
        } else if kind.is_symlink() {
            draft.link(name, fs::read_link(&path).map_err(Error::Spool)?.as_os_str().as_bytes())?;
        } else if kind.is_file() {
            let file = File::open(&path).map_err(Error::Spool)?;
            let mode = file.metadata().map_err(Error::Spool)?.permissions().mode();
            draft.file(name, if mode & 0o111 == 0 { Mode::Data } else { Mode::Program }, file)?;
        }
        // Sockets and pipes that a tool left behind are nobody's code.
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn packed(folder: &Path, most: u64) -> Result<(Packed, File), Error> {
        let output = tempfile::tempfile().unwrap();
        let packed = pack(folder, most, tempfile::tempfile().unwrap(), output.try_clone().unwrap())?;
        Ok((packed, output))
    }

    #[test]
    fn what_is_packed_is_unpacked_and_packed_again_the_same() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("lib/empty")).unwrap();
        fs::write(folder.path().join("lib/a.py"), "a").unwrap();
        fs::write(folder.path().join("bootstrap"), "#!/bin/sh").unwrap();
        fs::set_permissions(folder.path().join("bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("lib/a.py", folder.path().join("link")).unwrap();
        let (first, mut archive) = packed(folder.path(), 1000).unwrap();
        io::Seek::rewind(&mut archive).unwrap();
        let other = tempfile::tempdir().unwrap();
        unpack(archive, other.path()).unwrap();
        assert_eq!(fs::read_to_string(other.path().join("link")).unwrap(), "a");
        assert_eq!(packed(other.path(), 1000).unwrap().0, first);
    }

    #[test]
    fn too_much_is_refused_with_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data"), vec![0; 100]).unwrap();
        assert!(packed(folder.path(), 99).unwrap_err().to_string().contains("99"));
    }
}
