//! A request as environment variables, as programs for classic function platforms expect them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use flint_core::wire;
use http::request::Parts;

use crate::config::Variables;

/// Variables of one request. Several headers of a name are joined with commas; Flint's own and what could be taken for a
/// proxy's configuration (`Http_Proxy`) are left out.
pub(super) fn environment(request: &Parts, request_id: &str) -> Variables {
    let mut variables: Variables = vec![
        ("Http_Method".into(), request.method.as_str().into()),
        ("Http_Path".into(), request.uri.path().into()),
        ("Http_Query".into(), request.uri.query().unwrap_or_default().into()),
        ("Http_Request_Id".into(), request_id.into()),
    ];
    let host =
        request.uri.authority().map(|host| host.as_str()).filter(|_| !request.headers.contains_key("host"));
    if let Some(host) = host {
        variables.push(("Http_Host".into(), host.into()));
    }
    let internal = [wire::TIMEOUT_HEADER, wire::INVOKE_HEADER, wire::EVENT_FORMAT_HEADER];
    for name in request.headers.keys().filter(|name| !internal.contains(&name.as_str()) && *name != "proxy") {
        let mut joined = Vec::new();
        for (at, value) in request.headers.get_all(name).iter().enumerate() {
            if at > 0 {
                joined.extend_from_slice(b", ");
            }
            joined.extend_from_slice(value.as_bytes());
        }
        variables.push((variable(name.as_str()).into(), OsStr::from_bytes(&joined).to_owned()));
    }
    variables
}

/// `x-forwarded-for` is `Http_X_Forwarded_For`.
fn variable(header: &str) -> String {
    let mut name = String::with_capacity(header.len() + 5);
    name.push_str("Http");
    for word in header.split('-') {
        name.push('_');
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.extend(letters.map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_in_the_environment() {
        let request = http::Request::builder()
            .method("PUT")
            .uri("/a/b?c=d")
            .header("content-type", "text/plain")
            .header("x-several", "1")
            .header("x-several", "2")
            .header("proxy", "http://evil")
            .header("x-flint-timeout-ms", "5")
            .body(())
            .unwrap();
        let variables = environment(&request.into_parts().0, "id-1");
        let value = |name: &str| {
            variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        assert_eq!(value("Http_Method").as_deref(), Some("PUT"));
        assert_eq!(value("Http_Path").as_deref(), Some("/a/b"));
        assert_eq!(value("Http_Query").as_deref(), Some("c=d"));
        assert_eq!(value("Http_Content_Type").as_deref(), Some("text/plain"));
        assert_eq!(value("Http_X_Several").as_deref(), Some("1, 2"));
        assert_eq!(value("Http_Request_Id").as_deref(), Some("id-1"));
        assert!(value("Http_Proxy").is_none() && value("Http_X_Flint_Timeout_Ms").is_none());
    }
}
