//! What only a .zip can do.

use flint_package::Error;

use super::{make, package, refusal};

#[test]
fn a_lambda_package_is_read_as_it_is() {
    let archive = make::deflated(&[
        make::file("app.py", "def handler(event, context): pass"),
        make::program("bin/tool", "#!/bin/sh"),
        make::link("node_modules/.bin/tool", "../../bin/tool"),
    ]);
    assert_eq!(
        package(&archive).unwrap().entries,
        [
            "bin/ 755 ",
            "node_modules/ 755 ",
            "node_modules/.bin/ 755 ",
            "app.py 644 def handler(event, c",
            "bin/tool 755 #!/bin/sh",
            "node_modules/.bin/tool -> ../../bin/tool",
        ]
    );
}

#[test]
fn a_zip_without_modes_has_programs_all_the_same() {
    let entries =
        [make::file("app.py", "x"), make::file("bootstrap", "\x7fELF"), make::file("run", "#!/bin/sh")];
    let archive =
        make::zip_with(&entries, |_, header| make::ZipHeader { made_by: 20, attributes: 0x20, ..header });
    assert_eq!(
        package(&archive).unwrap().entries,
        ["app.py 644 x", "bootstrap 755 \x7fELF", "run 755 #!/bin/sh"]
    );
}

#[test]
fn a_name_that_only_windows_understands_is_refused() {
    let error = refusal(&make::zip(&[make::file("lib\\util.py", "x")]));
    assert!(
        matches!(&error, Error::Name(_)) && error.to_string().contains("use UTF-8, / between"),
        "{error}"
    );
}

#[test]
fn encrypted_files_and_strange_compressions_are_refused() {
    let entries = [make::file("app.py", "x")];
    let encrypted = make::zip_with(&entries, |_, header| make::ZipHeader { flags: 1, ..header });
    assert!(matches!(refusal(&encrypted), Error::Encrypted(_)));
    let strange = make::zip_with(&entries, |_, header| make::ZipHeader { method: 93, ..header });
    assert!(matches!(refusal(&strange), Error::Method(_, 93)));
}

#[test]
fn devices_and_pipes_are_refused() {
    for kind in [0o010_000, 0o020_000, 0o060_000, 0o140_000] {
        let special = make::Entry { mode: kind | 0o644, ..make::file("special", "") };
        assert!(matches!(refusal(&make::zip(&[special])), Error::Kind(_)), "{kind:o}");
    }
}

#[test]
fn lies_about_sums_and_sizes_are_found() {
    let entries = [make::file("app.py", "content")];
    let wrong_sum = make::zip_with(&entries, |_, header| make::ZipHeader { crc: 1, ..header });
    let too_long = make::zip_with(&entries, |_, header| make::ZipHeader { size: 6, ..header });
    let too_short = make::zip_with(&entries, |_, header| make::ZipHeader { size: 8, ..header });
    for archive in [wrong_sum, too_long, too_short] {
        assert!(matches!(refusal(&archive), Error::Damaged(_)));
    }
}

#[test]
fn a_directory_of_another_length_than_it_says_is_refused() {
    let mut archive = make::zip(&[make::file("a", "x"), make::file("b", "x")]);
    let end = archive.len() - 22;
    archive[end + 8] = 1;
    archive[end + 10] = 1;
    assert!(matches!(refusal(&archive), Error::Damaged(_)));
}

#[test]
fn half_a_zip_is_refused() {
    let archive = make::zip(&[make::file("app.py", &"x".repeat(5000))]);
    assert!(matches!(refusal(&archive[..archive.len() / 2]), Error::Damaged(_)));
}
