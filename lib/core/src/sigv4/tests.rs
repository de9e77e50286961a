//! AWS's published vectors of Signature Version 4, and what a signature does not let pass.

use rstest::rstest;

use super::*;

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TIME: &str = "20150830T123600Z";

/// A request of the published suite: `host` and `x-amz-date` are in all of them.
struct Vector {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: &'static str,
}

impl Vector {
    fn new(method: Method, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let vector = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: "",
        };
        vector.header("host", "example.amazonaws.com").header("x-amz-date", TIME)
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    fn signed(self, headers: &str, signature: &str) -> Self {
        self.authorized(&format!(
            "AWS4-HMAC-SHA256 Credential={KEY_ID}/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={headers}, Signature={signature}"
        ))
    }

    fn authorized(self, authorization: &str) -> Self {
        self.header("authorization", authorization)
    }

    fn read(&self, now: &str) -> Result<Claim<'_>, Denial> {
        Claim::read(&self.headers, "service", now.parse().unwrap())
    }

    fn verify_with(&self, secret: &str) -> Result<(), Denial> {
        let request =
            Request { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers };
        self.read("2015-08-30T12:36:00Z")?.verify(secret, request, self.body.as_bytes())
    }

    fn verify(&self) -> Result<(), Denial> {
        self.verify_with(SECRET)
    }
}

fn get(target: &str) -> Vector {
    Vector::new(Method::GET, target)
}

fn post(target: &str) -> Vector {
    Vector::new(Method::POST, target)
}

const ALWAYS: &str = "host;x-amz-date";
const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

#[rstest]
#[case::get_vanilla(get("/"), ALWAYS, VANILLA)]
#[case::post_vanilla(post("/"), ALWAYS, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")]
#[case::get_vanilla_query_order_key_case(
    get("/?Param2=value2&Param1=value1"),
    ALWAYS,
    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
)]
#[case::get_utf8(get("/ሴ"), ALWAYS, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85")]
#[case::get_vanilla_utf8_query(
    get("/?ሴ=bar"),
    ALWAYS,
    "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"
)]
#[case::get_header_value_trim(
    get("/").header("my-header1", "value1").header("my-header2", "\"a   b   c\""),
    "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
)]
#[case::get_header_key_duplicate(
    get("/").header("my-header1", "value2").header("my-header1", "value2").header("my-header1", "value1"),
    "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"
)]
#[case::post_x_www_form_urlencoded(
    post("/").header("content-type", "application/x-www-form-urlencoded").body("Param1=value1"),
    "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
)]
fn the_published_vectors_are_verified(
    #[case] vector: Vector,
    #[case] headers: &str,
    #[case] signature: &str,
) {
    let vector = vector.signed(headers, signature);
    assert_eq!(vector.read("2015-08-30T12:36:00Z").unwrap().key_id, KEY_ID);
    assert_eq!(vector.verify(), Ok(()));
    assert_eq!(vector.verify_with("another secret"), Err(Denial::Mismatch));
}

#[test]
fn whatever_is_changed_on_the_way_is_noticed() {
    let vanilla = || get("/").signed(ALWAYS, VANILLA);
    assert_eq!(vanilla().verify(), Ok(()));
    assert_eq!(Vector { method: Method::POST, ..vanilla() }.verify(), Err(Denial::Mismatch));
    assert_eq!(Vector { path: "/other".into(), ..vanilla() }.verify(), Err(Denial::Mismatch));
    assert_eq!(Vector { query: "a=b".into(), ..vanilla() }.verify(), Err(Denial::Mismatch));
    assert_eq!(vanilla().body("more").verify(), Err(Denial::Mismatch));
    let mut other_host = vanilla();
    other_host.headers.insert("host", "elsewhere.example.com".parse().unwrap());
    assert_eq!(other_host.verify(), Err(Denial::Mismatch));
    assert_eq!(get("/").signed(ALWAYS, &VANILLA.replace('5', "6")).verify(), Err(Denial::Mismatch));
    assert_eq!(get("/").signed(ALWAYS, "no hexadecimal").verify(), Err(Denial::Mismatch));
}

#[test]
fn a_clock_may_be_five_minutes_off_and_no_more() {
    let vanilla = get("/").signed(ALWAYS, VANILLA);
    for good in ["2015-08-30T12:31:00Z", "2015-08-30T12:41:00Z"] {
        assert!(vanilla.read(good).is_ok(), "{good}");
    }
    for bad in ["2015-08-30T12:30:59Z", "2015-08-30T12:41:01Z", "2026-01-01T00:00:00Z"] {
        assert!(matches!(vanilla.read(bad), Err(Denial::Skewed { .. })), "{bad}");
    }
}

#[test]
fn a_body_is_held_to_its_digest_unless_it_was_left_out() {
    let digest = sha256(b"{}");
    let with = |digest: &str, body| {
        let vector = post("/").header("x-amz-content-sha256", digest).body(body);
        let signed = "host;x-amz-content-sha256;x-amz-date";
        // What a client with that secret would write.
        let claim = Claim {
            key_id: KEY_ID,
            time: TIME,
            scope: "20150830/us-east-1/service/aws4_request",
            signed,
            signature: "",
        };
        let request = Request { method: &vector.method, path: "/", query: "", headers: &vector.headers };
        let text = format!(
            "{ALGORITHM}\n{TIME}\n{}\n{}",
            claim.scope,
            sha256(claim.canonical(request, digest).as_bytes())
        );
        let key = claim.scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            mac(&key, part).finalize().into_bytes().to_vec()
        });
        let signature = hex::encode(mac(&key, &text).finalize().into_bytes());
        vector.signed(signed, &signature).verify()
    };
    assert_eq!(with(&digest, "{}"), Ok(()));
    assert_eq!(with(&digest, "{\"more\":1}"), Err(Denial::Body));
    assert_eq!(with(UNSIGNED_PAYLOAD, "anything"), Ok(()));
    assert!(matches!(with("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "{}"), Err(Denial::Incomplete(_))));
}

#[rstest]
#[case::nothing_at_all(get("/"), "Missing Authentication Token")]
#[case::another_scheme(get("/").authorized("Bearer abc"), "must begin with AWS4-HMAC-SHA256")]
#[case::no_signature(
    get("/").authorized("AWS4-HMAC-SHA256 Credential=A/20150830/r/service/aws4_request, SignedHeaders=host;x-amz-date"),
    "requires 'Signature' parameter"
)]
#[case::no_scope(
    get("/").authorized("AWS4-HMAC-SHA256 Credential=A, SignedHeaders=host, Signature=00"), "Credential must be"
)]
#[case::another_service(
    get("/").authorized("AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request, SignedHeaders=host, Signature=00"),
    "scoped to correct service: 'service'"
)]
#[case::another_day(
    get("/").authorized("AWS4-HMAC-SHA256 Credential=A/20150829/r/service/aws4_request, SignedHeaders=host, Signature=00"),
    "not that of X-Amz-Date"
)]
#[case::a_host_that_is_not_signed(get("/").signed("x-amz-date", VANILLA), "'host' must be a 'SignedHeader'")]
#[case::a_field_of_awss_slipped_in(
    get("/").header("x-amz-invocation-type", "Event").signed(ALWAYS, VANILLA),
    "'x-amz-invocation-type' must be a 'SignedHeader'"
)]
fn what_cannot_be_a_signature_is_refused_with_words(#[case] vector: Vector, #[case] words: &str) {
    let denial = vector.read("2015-08-30T12:36:00Z").unwrap_err().to_string();
    assert!(denial.contains(words), "{denial}");
}
