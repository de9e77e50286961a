//! Variables, one by one and led astray.

use std::fs;

use rstest::rstest;

use super::*;

/// What `value` comes to in a file with these other lines, as JSON, or what is said against it.
fn read_in(folder: &std::path::Path, lines: &str, value: &str) -> Result<String, String> {
    let folder = folder.canonicalize().unwrap();
    let path = folder.join("serverless.yml");
    let documents = yaml::parse(&path, &format!("value: {value}\n{lines}")).unwrap();
    let options = Options {
        stage: None,
        opts: [("size".to_owned(), "large".to_owned())].into(),
        env: [("HOME_TOWN".to_owned(), "Porto".to_owned())].into(),
    };
    let mut files = Files::below(&folder);
    let mut variables = Variables::new(&documents[0], &options, &mut files);
    let node = variables.part("value").unwrap_or_else(|| Node::plain(&documents[0].spot, "null"));
    match variables.into_notes().first() {
        None => Ok(node.to_json().to_string()),
        Some(note) => Err(format!("{}:{}: {}", note.line, note.column, note.message)),
    }
}

fn read(lines: &str, value: &str) -> Result<String, String> {
    read_in(tempfile::tempdir().unwrap().path(), lines, value)
}

#[rstest]
#[case("${env:HOME_TOWN}", r#""Porto""#)]
#[case("in ${env:HOME_TOWN}, ${opt:size}", r#""in Porto, large""#)]
#[case("${self:custom.number}", "7")]
#[case("${self:custom.list}", r#"["a","b"]"#)]
#[case("${self:custom.list.1}", r#""b""#)]
#[case("${self:custom.${opt:size}.cpu}", "4")]
#[case("${self:custom.none, ${env:NONE, 'last'}}", r#""last""#)]
#[case("${opt:stage, self:provider.stage}", r#""dev""#)]
#[case("${sls:stage}-x", r#""dev-x""#)]
#[case("${self:custom.deep}", r#""x-Porto""#)]
#[case("${env:NONE, ''}", r#""""#)]
#[case("${env:NONE, 12}", "12")]
#[case("${env:NONE, \"a, b}\"}", r#""a, b}""#)]
#[case("${strToBool(${env:NONE, 'true'})}", "true")]
#[case("${param:url}", r#""https://example.com""#)]
#[case("arn:${AWS::Region}:x", r#""arn:${AWS::Region}:x""#)]
#[case("${Table}", r#""${Table}""#)]
fn a_variable_is_what_it_names(#[case] value: &str, #[case] json: &str) {
    let lines = "custom: {number: 7, list: [a, b], large: {cpu: 4}, deep: 'x-${env:HOME_TOWN}'}\n\
                 params: {default: {url: https://example.com}}\n";
    assert_eq!(read(lines, &format!("'{}'", value.replace('\'', "''"))), Ok(json.to_owned()));
}

#[rstest]
#[case(
    "${env:NONE}",
    "1:8: ${env:NONE}: the environment has no NONE; a fallback goes behind a comma, ${env:NONE, 'value'}"
)]
#[case("ab ${self:custom.none}", "1:11: ${self:custom.none}: there is no custom.none in this file")]
#[case("${self:a", "1:8: this ${ is not closed")]
#[case("x ${self:custom}", "1:10: ${self:custom} is a map, and cannot stand within text")]
#[case("${env:NONE, word}", "1:8: the fallback word is neither in quotes nor a variable")]
#[case("${ssm:/db/password}", "1:8: ${ssm:/db/password} is known to another service only: it is left out")]
#[case(
    "${file(config.js):x}",
    "1:8: ${file(config.js):x} is what a program says, which is not run: it is left out"
)]
#[case("${file(none.yml):x}", "1:8: ${file(none.yml):x}: none.yml is not there")]
fn what_cannot_be_known_says_where(#[case] value: &str, #[case] said: &str) {
    let message = read("custom: {a: 1}\n", value).unwrap_err();
    assert!(message.starts_with(said), "{message}");
}

#[test]
fn files_are_read_below_the_folder_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yml"), "b: {c: '${env:HOME_TOWN}'}").unwrap();
    fs::write(folder.path().join("key.txt"), "secret\n").unwrap();
    assert_eq!(read_in(folder.path(), "", "${file(a.yml):b.c}"), Ok("\"Porto\"".to_owned()));
    assert_eq!(read_in(folder.path(), "", "${file(./key.txt)}"), Ok("\"secret\"".to_owned()));
    let message = read_in(folder.path(), "", "${file(/etc/hostname)}").unwrap_err();
    assert!(message.contains("is outside of"), "{message}");
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link.txt")).unwrap();
    let message = read_in(folder.path(), "", "${file(link.txt)}").unwrap_err();
    assert!(message.contains("is outside of"), "{message}");
}

#[test]
fn circles_are_found() {
    let message =
        read("custom: {a: '${self:custom.b}', b: '${self:custom.a}'}\n", "${self:custom.a}").unwrap_err();
    assert_eq!(
        message,
        "1:1: these variables go round in a circle: self:custom.a → self:custom.b → self:custom.a"
    );
    let message = read("custom: {a: '${self:custom}'}\n", "${self:custom}").unwrap_err();
    assert!(message.contains("go round in a circle"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yml"), "a: '${file(b.yml):b}'").unwrap();
    fs::write(folder.path().join("b.yml"), "b: '${file(a.yml):a}'").unwrap();
    let message = read_in(folder.path(), "", "${file(a.yml):a}").unwrap_err();
    assert!(message.contains("file(a.yml):a → file(b.yml):b → file(a.yml):a"), "{message}");
}

#[test]
fn what_doubles_itself_ends() {
    let mut lines = "custom:\n  a0: [x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let item = format!("'${{self:custom.a{}}}'", level - 1);
        lines.push_str(&format!("  a{level}: [{}]\n", [item.as_str(); 8].join(", ")));
    }
    let message = read(&lines, "${self:custom.a11}").unwrap_err();
    assert!(message.contains("more than 200000 values"), "{message}");
}
