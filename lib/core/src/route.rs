//! Reads the contract's addresses: which function a request is for, how it is called, and what path it gets to see.
//!
//! A host that names a known function wins over the path, so that a function called `http://thumbnail.shop` may itself
//! serve `/function/…`. Any other host (the gateway's own Service has the same `NAME.NAMESPACE` shape) falls through
//! to the path. Nothing here allocates for an address as people write it.

use std::borrow::Cow;

use http::Method;

/// Lambda's calls: whether the answer is streamed, and what stands before and behind the function's name.
const INVOKES: [(bool, &str, &str); 2] = [
    (false, "/2015-03-31/functions/", "/invocations"),
    (true, "/2021-11-15/functions/", "/response-streaming-invocations"),
];

/// The namespace of an address that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Where a request goes; `F` is what the lookup knows of a function.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'a, F> {
    /// An HTTP request for a function.
    Function {
        /// The function.
        function: F,
        /// The path and query that it gets.
        path: Path<'a>,
        /// The alias or number of the revision, where the address names one.
        qualifier: Option<Cow<'a, str>>,
    },
    /// Lambda's Invoke: the body is the payload.
    Invoke {
        /// The function.
        function: F,
        /// Lambda's qualifier: an alias, a number, or `$LATEST`.
        qualifier: Option<Cow<'a, str>>,
        /// `InvokeWithResponseStream`: the answer comes as a stream of events.
        streamed: bool,
    },
    /// An invocation that answers 202 and works later.
    Async {
        /// The function.
        function: F,
        /// The alias or number of the revision, where the address names one.
        qualifier: Option<Cow<'a, str>>,
    },
}

/// The path and query that a function gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Path<'a> {
    /// As the client sent it.
    Unchanged,
    /// Without the prefix that addressed the function.
    Rest(Cow<'a, str>),
}

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No address of the contract.
    NoRoute,
    /// It addresses a function that does not exist; the text is the name as the client wrote it.
    UnknownFunction(String),
    /// The same, by Lambda's Invoke, whose clients expect Lambda's error.
    UnknownInvoke(String),
}

/// What a router needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, as it came.
    pub path: &'a str,
    /// The path and query together, as they came.
    pub path_and_query: &'a str,
    /// The host that the client asked for, port included.
    pub host: Option<&'a str>,
}

/// Finds where `request` goes. `lookup` is asked with a name and a namespace, both valid DNS labels.
///
/// # Errors
/// The address is none of the contract's, or names a function that the lookup does not know.
pub fn route<'a, F>(
    request: Request<'a>,
    cluster_domain: &str,
    lookup: impl Fn(&str, &str) -> Option<F>,
) -> Result<Route<'a, F>, Miss> {
    let lowered;
    let host = match request.host {
        // Hosts are compared without regard to case; only odd clients send capitals.
        Some(host) if host.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            lowered = host.to_ascii_lowercase();
            parse_host(&lowered, cluster_domain)
        }
        Some(host) => parse_host(host, cluster_domain),
        None => None,
    };
    if let Some(host) = &host
        && let Some(function) = lookup(host.name, host.namespace)
    {
        return Ok(Route::Function { function, path: Path::Unchanged, qualifier: None });
    }
    if let Some(rest) = request.path_and_query.strip_prefix("/function/") {
        let (segment, rest) = split_segment(rest);
        let (function, qualifier) = find(segment, &lookup)?;
        return Ok(Route::Function { function, path: Path::Rest(rooted(rest)), qualifier });
    }
    if let Some(rest) = request.path_and_query.strip_prefix("/async-function/")
        && request.method == Method::POST
    {
        let (function, qualifier) = find(split_segment(rest).0, &lookup)?;
        return Ok(Route::Async { function, qualifier });
    }
    for (streamed, prefix, end) in INVOKES {
        if let Some(rest) = request.path_and_query.strip_prefix(prefix)
            && request.method == Method::POST
        {
            let (segment, rest) = split_segment(rest);
            let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
            if rest == end {
                return find_invoke(segment, query, &lookup).map(|(function, qualifier)| Route::Invoke {
                    function,
                    qualifier,
                    streamed,
                });
            }
        }
    }
    match host {
        Some(host) if host.within_cluster => {
            Err(Miss::UnknownFunction(format!("{}.{}", host.name, host.namespace)))
        }
        _ => Err(Miss::NoRoute),
    }
}

/// Whether the text can be the name of a Function or a namespace: a DNS label.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    matches!(bytes, [first, .., last] if *first != b'-' && *last != b'-')
        && bytes.len() <= 63
        && bytes.iter().all(inner)
        || matches!(bytes, [only] if *only != b'-' && inner(only))
}

struct HostAddress<'a> {
    name: &'a str,
    namespace: &'a str,
    /// The host has the `.svc` that nothing outside a cluster has.
    within_cluster: bool,
}

fn parse_host<'a>(host: &'a str, cluster_domain: &str) -> Option<HostAddress<'a>> {
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) => return None,
        None => host,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let (name, rest) = host.split_once('.')?;
    let (namespace, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let within_cluster = match rest.strip_prefix("svc") {
        Some("") => true,
        Some(domain) => domain.strip_prefix('.') == Some(cluster_domain),
        None => false,
    };
    if !(rest.is_empty() || within_cluster) || !is_label(name) || !is_label(namespace) {
        return None;
    }
    Some(HostAddress { name, namespace, within_cluster })
}

/// The first segment of a path and query, and what follows it.
fn split_segment(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?']).unwrap_or(text.len()))
}

/// What is left of a path must begin with a slash.
fn rooted(rest: &str) -> Cow<'_, str> {
    if rest.starts_with('/') {
        return Cow::Borrowed(rest);
    }
    if rest.is_empty() { Cow::Borrowed("/") } else { Cow::Owned(format!("/{rest}")) }
}

/// A function, and the qualifier that its address has.
type Found<'a, F> = (F, Option<Cow<'a, str>>);

/// Reads `NAME[.NAMESPACE][:QUALIFIER]`.
fn find<'a, F>(segment: &'a str, lookup: &impl Fn(&str, &str) -> Option<F>) -> Result<Found<'a, F>, Miss> {
    if segment.is_empty() {
        return Err(Miss::NoRoute);
    }
    let decoded = decode(segment);
    let (name, qualifier) = match &decoded {
        Cow::Borrowed(text) => match text.split_once(':') {
            Some((name, qualifier)) => (name, Some(Cow::Borrowed(qualifier))),
            None => (*text, None),
        },
        Cow::Owned(text) => match text.split_once(':') {
            Some((name, qualifier)) => (name, Some(Cow::Owned(qualifier.to_owned()))),
            None => (text.as_str(), None),
        },
    };
    let function = find_name(name, lookup).ok_or_else(|| Miss::UnknownFunction(shown(&decoded)))?;
    Ok((function, qualifier))
}

fn find_name<F>(text: &str, lookup: &impl Fn(&str, &str) -> Option<F>) -> Option<F> {
    let (name, namespace) = text.split_once('.').unwrap_or((text, DEFAULT_NAMESPACE));
    if is_label(name) && is_label(namespace) { lookup(name, namespace) } else { None }
}

/// Reads Lambda's FunctionName: a name, `ACCOUNT:function:NAME` or an ARN, each with `:QUALIFIER` or the query's.
fn find_invoke<'a, F>(
    segment: &'a str,
    query: &'a str,
    lookup: &impl Fn(&str, &str) -> Option<F>,
) -> Result<Found<'a, F>, Miss> {
    let decoded = decode(segment);
    let unknown = || Miss::UnknownInvoke(shown(&decoded));
    let mut parts = decoded.split(':');
    let mut next = parts.next().unwrap_or_default();
    if next == "arn" {
        // arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME
        let (_partition, service, _region) = (parts.next(), parts.next(), parts.next());
        if service != Some("lambda") {
            return Err(unknown());
        }
        next = parts.next().ok_or_else(unknown)?;
    }
    let mut qualifier = parts.next();
    if qualifier == Some("function") {
        next = parts.next().ok_or_else(unknown)?;
        qualifier = parts.next();
    }
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("Qualifier=")).map(decode);
    let qualifier = qualifier.filter(|qualifier| !qualifier.is_empty());
    let in_query = in_query.filter(|qualifier| !qualifier.is_empty());
    // Both may name one, as long as it is the same.
    let differ = qualifier.zip(in_query.as_deref()).is_some_and(|(one, other)| one != other);
    if parts.next().is_some() || differ {
        return Err(unknown());
    }
    let function = find_name(next, lookup).ok_or_else(unknown)?;
    let qualifier = qualifier.map(|qualifier| Cow::Owned(qualifier.to_owned()));
    Ok((function, qualifier.or(in_query)))
}

/// Takes percent-encoding off; what is not valid stays as it is, and is then no valid name.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, tail @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The name for a message: whatever was sent, cut so that an answer does not echo kilobytes.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(128).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&str; 4] = ["hello.default", "thumbnail.shop", "a.b", "n1.default"];

    fn ask<'a>(method: &'a Method, path: &'a str, host: &'a str) -> Result<Route<'a, String>, Miss> {
        let request = Request {
            method,
            path: path.split('?').next().unwrap_or_default(),
            path_and_query: path,
            host: Some(host),
        };
        route(request, "cluster.local", |name, namespace| {
            let key = format!("{name}.{namespace}");
            KNOWN.contains(&key.as_str()).then_some(key)
        })
    }

    fn function(name: &str, path: &'static str) -> Result<Route<'static, String>, Miss> {
        Ok(Route::Function {
            function: name.to_owned(),
            path: Path::Rest(Cow::Borrowed(path)),
            qualifier: None,
        })
    }

    #[test]
    fn a_path_names_a_function_and_keeps_the_rest() {
        for (path, name, rest) in [
            ("/function/hello", "hello.default", "/"),
            ("/function/hello/", "hello.default", "/"),
            ("/function/hello?x=1", "hello.default", "/?x=1"),
            ("/function/hello/a%20b/c?x=1&y=/", "hello.default", "/a%20b/c?x=1&y=/"),
            ("/function/thumbnail.shop/function/hello", "thumbnail.shop", "/function/hello"),
            ("/function/h%65llo/x", "hello.default", "/x"),
            ("/function/hello//double", "hello.default", "//double"),
            ("/function/a.b", "a.b", "/"),
        ] {
            assert_eq!(ask(&Method::GET, path, "gateway.example.com"), function(name, rest), "{path}");
        }
    }

    #[test]
    fn a_host_names_a_function_and_the_path_stays() {
        for host in [
            "thumbnail.shop",
            "thumbnail.shop:8080",
            "thumbnail.shop.svc",
            "Thumbnail.Shop.svc.cluster.local",
            "thumbnail.shop.svc.cluster.local.:80",
        ] {
            let expected = Ok(Route::Function {
                function: "thumbnail.shop".to_owned(),
                path: Path::Unchanged,
                qualifier: None,
            });
            assert_eq!(ask(&Method::GET, "/function/hello", host), expected, "{host}");
        }
    }

    #[test]
    fn the_gateways_own_name_is_no_function() {
        let host = "flint-gateway.flint-system:8080";
        assert_eq!(ask(&Method::GET, "/function/hello/x", host), function("hello.default", "/x"));
        assert_eq!(ask(&Method::GET, "/", host), Err(Miss::NoRoute));
    }

    #[test]
    fn a_cluster_host_of_no_function_says_so_and_any_other_host_is_no_route() {
        let unknown = Err(Miss::UnknownFunction("gone.shop".to_owned()));
        assert_eq!(ask(&Method::GET, "/", "gone.shop.svc.cluster.local"), unknown);
        for host in
            ["example.com", "127.0.0.1:8080", "[::1]:8080", "localhost", "", "a.b.c.d", "a.b.svc.other"]
        {
            assert_eq!(ask(&Method::GET, "/", host), Err(Miss::NoRoute), "{host}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_one_is_unknown() {
        for name in
            ["Hello", "-a", "a-", "a_b", "..", "%2e%2e", "hello.", ".x", "hello.default.svc", "%zz", "é"]
        {
            let path = format!("/function/{name}/x");
            assert!(matches!(ask(&Method::GET, &path, "h"), Err(Miss::UnknownFunction(_))), "{name}");
        }
        assert_eq!(ask(&Method::GET, "/function/", "h"), Err(Miss::NoRoute));
        assert_eq!(ask(&Method::GET, "/function//x", "h"), Err(Miss::NoRoute));
        assert_eq!(ask(&Method::GET, "/functions/hello", "h"), Err(Miss::NoRoute));
    }

    #[test]
    fn lambdas_invoke_takes_every_form_of_a_function_name() {
        for name in [
            "hello",
            "hello.default",
            "123456789012:function:hello",
            "arn:aws:lambda:eu-west-1:123456789012:function:hello",
        ] {
            assert_eq!(invoke(&format!("{name}/invocations")), Some(None), "{name}");
        }
        for (name, qualifier) in [
            ("hello:$LATEST", "$LATEST"),
            ("hello%3A%24LATEST", "$LATEST"),
            ("hello:prod", "prod"),
            ("hello:3", "3"),
            ("123456789012:function:hello:prod", "prod"),
            ("arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Ahello.default%3Aprod", "prod"),
        ] {
            assert_eq!(invoke(&format!("{name}/invocations")), Some(Some(qualifier.to_owned())), "{name}");
        }
        for name in ["nobody", "arn:aws:s3:::bucket", "arn", "1:function", "hello:$LATEST:x"] {
            let path = format!("/2015-03-31/functions/{name}/invocations");
            assert!(matches!(ask(&Method::POST, &path, "h"), Err(Miss::UnknownInvoke(_))), "{name}");
        }
        assert_eq!(invoke("hello/invocations?Qualifier="), Some(None));
        assert_eq!(invoke("hello/invocations?Qualifier=%24LATEST"), Some(Some("$LATEST".to_owned())));
        assert_eq!(invoke("hello:prod/invocations?Qualifier=prod"), Some(Some("prod".to_owned())));
        assert_eq!(invoke("hello:prod/invocations?Qualifier=canary"), None, "it names two");
        assert_eq!(ask(&Method::GET, "/2015-03-31/functions/hello/invocations", "h"), Err(Miss::NoRoute));
    }

    /// The qualifier of an Invoke of `hello`; none where it goes nowhere.
    fn invoke(address: &str) -> Option<Option<String>> {
        let path = format!("/2015-03-31/functions/{address}");
        match ask(&Method::POST, &path, "h") {
            Ok(Route::Invoke { function, qualifier, .. }) if function == "hello.default" => {
                Some(qualifier.map(Cow::into_owned))
            }
            _ => None,
        }
    }

    #[test]
    fn a_path_may_name_a_revision_or_an_alias() {
        for (path, wanted) in [
            ("/function/hello:3", "3"),
            ("/function/hello.default:prod/x", "prod"),
            ("/function/hello%3Aprod", "prod"),
            ("/function/hello:", ""),
        ] {
            let Ok(Route::Function { qualifier, .. }) = ask(&Method::GET, path, "h") else {
                panic!("{path} is not routed")
            };
            assert_eq!(qualifier.as_deref(), Some(wanted), "{path}");
        }
        assert!(ask(&Method::GET, "/function/nobody:prod", "h").is_err());
    }

    #[test]
    fn an_asynchronous_call_is_a_post() {
        let expected = Ok(Route::Async { function: "hello.default".to_owned(), qualifier: None });
        assert_eq!(ask(&Method::POST, "/async-function/hello/x", "h"), expected);
        assert_eq!(ask(&Method::GET, "/async-function/hello/x", "h"), Err(Miss::NoRoute));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_routed_or_refused_without_a_panic(path in "/[ -~é]{0,60}", host in "[ -~]{0,40}") {
            let _ = ask(&Method::POST, &path, &host);
            let _ = ask(&Method::GET, &format!("/function{path}"), &host);
            let _ = ask(&Method::POST, &format!("/2015-03-31/functions{path}/invocations"), &host);
        }

        #[test]
        fn the_rest_of_a_path_reaches_the_function_unchanged(rest in "/[!->@-~]{0,40}") {
            let path = format!("/function/hello{rest}");
            let Ok(Route::Function { path: Path::Rest(seen), .. }) = ask(&Method::GET, &path, "h") else {
                return Err(TestCaseError::fail("not routed"));
            };
            prop_assert_eq!(seen.as_ref(), rest);
        }
    }
}
