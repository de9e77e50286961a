//! The builder copies itself into a folder that another container has too: so any image can build.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

/// Copies this program to `folder/builder`.
pub(crate) fn install(folder: &Path) -> io::Result<()> {
    let program = folder.join("builder");
    fs::copy(std::env::current_exe()?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_a_program() {
        let folder = tempfile::tempdir().unwrap();
        install(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join("builder")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
