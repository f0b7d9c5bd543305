//! Requests that are taken, and requests that are refused.

use serde_json::{Value, json};

use super::*;
use crate::error::Code;

fn parse(operation: Operation, json: Value) -> Result<Ask> {
    operation.parse(&json.to_string())
}

fn message(operation: Operation, json: Value) -> String {
    let error = parse(operation, json).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(!format!("{error:?}").contains("secret"));
    error.message().to_owned()
}

fn operation_of(ask: &Ask) -> Operation {
    match ask {
        Ask::Create(_) => Operation::Create,
        Ask::Destroy(_) => Operation::Destroy,
        Ask::Discover(_) => Operation::Discover,
        Ask::IsAlive(_) => Operation::IsAlive,
        Ask::List => Operation::List,
        Ask::Request(_) => Operation::Request,
        Ask::Release(_) => Operation::Release,
        Ask::Reap(_) => Operation::Reap,
        Ask::WaitReady(_) => Operation::WaitReady,
    }
}

fn create(json: Value) -> CreateRequest {
    match parse(Operation::Create, json).unwrap() {
        Ask::Create(request) => request,
        other => panic!("{other:?}"),
    }
}

fn request(json: Value) -> SandboxRequest {
    match parse(Operation::Request, json).unwrap() {
        Ask::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

fn target(json: Value) -> Target {
    match parse(Operation::IsAlive, json).unwrap() {
        Ask::IsAlive(target) => target,
        other => panic!("{other:?}"),
    }
}

fn id() -> String {
    "0123456789abcdef".repeat(4)
}

#[test]
fn the_numbers_are_those_of_the_c_abi() {
    let words =
        ["create", "destroy", "discover", "is_alive", "list", "request", "release", "reap", "wait_ready"];
    for (number, word) in (1..).zip(words) {
        assert_eq!(Operation::from_number(number).unwrap().word(), word);
    }
    assert!([0, 10, u32::MAX].into_iter().all(|number| Operation::from_number(number).is_none()));
}

#[test]
fn each_operation_is_read_to_its_own_ask() {
    for operation in Operation::ALL {
        let json = match operation {
            Operation::Create | Operation::List => json!({}),
            Operation::Request => json!({"sandbox_id": "a", "path": "/"}),
            Operation::Reap => json!({"idle_seconds": 1}),
            Operation::WaitReady => json!({"sandbox_url": "http://a:1", "timeout_seconds": 1}),
            _ => json!({"sandbox_id": "a"}),
        };
        assert_eq!(operation_of(&parse(operation, json.clone()).unwrap()), operation);
        let mut more = json;
        more["typo"] = json!("secret");
        assert_eq!(message(operation, more), "`typo` is an unknown field");
        for bad in ["[]", "null", "", "{", "{\"a\": 1, \"a\": 1}", "[{\"sandbox_id\": \"a\"}]"] {
            assert_eq!(operation.parse(bad).unwrap_err().code(), Code::InvalidArgument);
        }
    }
}

#[test]
fn an_empty_create_gets_a_random_id() {
    let request = create(json!({}));
    assert_eq!(request, CreateRequest::default());
    assert_ne!(request.id().unwrap(), request.id().unwrap());
}

#[test]
fn a_thread_has_one_id() {
    let of = |json: Value| create(json).id().unwrap();
    // As `printf user:thread | sha256sum` says.
    assert_eq!(of(json!({"thread_id": "thread", "user_id": "user"})), "03e5aee5d57d0e34");
    assert_eq!(of(json!({"thread_id": "thread"})), of(json!({"thread_id": "thread", "user_id": ""})));
    assert_eq!(of(json!({"sandbox_id": "mine", "thread_id": "thread"})), "mine");
}

#[test]
fn every_field_of_create_is_read() {
    let request = create(json!({
        "sandbox_id": "a.b-c_1", "image": "alpine", "command": ["sh", "-c", ""], "environment": {"A": "$HOME", "B": "$$"},
        "extra_mounts": [{"host_path": "/a", "container_path": "/b"}], "labels": {"x": "y"}, "resources": {"cpus": 2},
        "ready_timeout_seconds": 0,
    }));
    assert_eq!(request.command.unwrap(), ["sh", "-c", ""]);
    assert_eq!((request.environment["A"].as_str(), request.environment["B"].as_str()), ("$HOME", "$$"));
    assert_eq!((request.extra_mounts.len(), request.labels.len()), (1, 1));
    assert_eq!((request.resources.unwrap().cpus, request.ready_timeout), (Some(2.0), Some(Duration::ZERO)));
}

#[test]
fn a_bad_create_is_refused_by_the_field() {
    for (field, bads) in [
        (
            "sandbox_id",
            json!([
                "",
                "Secret",
                "-secret",
                "sec/ret",
                "sec ret",
                "secret\n",
                "\u{e9}",
                5,
                "s".repeat(62),
                ["secret"]
            ]),
        ),
        ("thread_id", json!(["", 5, "sec\u{0}ret", "s".repeat(5000)])),
        ("user_id", json!(["secret", ""])),
        ("image", json!(["", "-secret", "sec ret", 5])),
        ("command", json!(["secret", [5], ["sec\u{0}ret"], {}])),
        (
            "extra_mounts",
            json!(["secret", [{}], [{"host_path": "secret", "container_path": "/a"}], [{"host_path": "/a", "container_path": "/"}]]),
        ),
        (
            "environment",
            json!([{"A-B": "secret"}, {"A": 5}, ["secret"], {"": "secret"}, {"A": "sec\u{0}ret"}]),
        ),
        ("labels", json!([{"dev.sandport.x": "secret"}, {"a": 1}])),
        ("resources", json!([{"pids": 0}, {"disk": 1}, "secret"])),
        ("ready_timeout_seconds", json!([-1, 1e300, "secret"])),
    ] {
        for bad in bads.as_array().unwrap() {
            let said = message(Operation::Create, json!({field: bad}));
            assert!(said.starts_with(&format!("`{field}")), "{field} {bad}: {said}");
        }
    }
    assert_eq!(
        message(Operation::Create, json!({"thread_id": "t", "user_id": "sec:ret"})),
        "`user_id` has a `:` in it, or more than 4096 bytes"
    );
}

#[test]
fn a_sandbox_is_named_by_its_id_or_by_its_info() {
    assert_eq!(
        target(json!({"sandbox_id": "a"})),
        Target { sandbox_id: "a".into(), container_id: None, container_name: None }
    );
    assert_eq!(target(json!({"sandbox_id": "a", "container_id": id()})).container_id, Some(id()));
    let info = json!({"sandbox_id": "a", "container_id": id(), "container_name": "p-a", "novelty": {"x": [1]}, "state": 5, "auth": null});
    let named = target(json!({"sandbox": info}));
    assert_eq!(
        named,
        Target { sandbox_id: "a".into(), container_id: Some(id()), container_name: Some("p-a".into()) }
    );
    assert!(named.check("p").is_ok());
    let error = named.check("other").unwrap_err();
    assert_eq!(error.message(), "`sandbox.container_name` is not this backend's prefix and the sandbox id");
    // What another field of the info says is no matter; what names it is.
    let said = |json: Value| message(Operation::Destroy, json);
    assert_eq!(said(json!({})), "`sandbox_id` is missing");
    assert_eq!(said(json!({"sandbox": {}, "sandbox_id": "a"})), "`sandbox_id` stands beside `sandbox`");
    assert_eq!(said(json!({"sandbox": {}, "container_id": id()})), "`container_id` stands beside `sandbox`");
    assert_eq!(
        said(json!({"sandbox": {"sandbox_id": "SECRET"}})),
        "`sandbox.sandbox_id` is missing or no sandbox id"
    );
    assert_eq!(said(json!({"sandbox": []})), "`sandbox` is not an object");
    assert_eq!(
        said(json!({"sandbox": {"sandbox_id": "a", "container_id": 5}})),
        "`sandbox.container_id` is not a text"
    );
    assert_eq!(
        said(json!({"sandbox": {"sandbox_id": "a", "container_id": "secret"}})),
        "`sandbox.container_id` is not 64 hex digits"
    );
}

#[test]
fn no_part_of_an_id_names_a_container() {
    for bad in [
        "",
        "d3",
        "secret",
        &id()[1..],
        &format!("{}0", id()),
        &id().to_uppercase(),
        "p-b",
        "../a",
        "x/y-a",
        "-a",
    ] {
        assert_eq!(
            message(Operation::Release, json!({"sandbox_id": "a", "container_id": bad})),
            "`container_id` is not 64 hex digits"
        );
    }
    // Apple's containers have no id but their name.
    let apple = target(json!({"sandbox_id": "a", "container_id": "p-a"}));
    assert!(apple.check("p").is_ok());
    assert_eq!(apple.check("q").unwrap_err().message(), "`container_id` is not 64 hex digits");
}

#[test]
fn a_name_that_would_be_too_long_is_refused_once_the_prefix_is_known() {
    let long = "x".repeat(60);
    assert!(target(json!({"sandbox_id": long})).check("ab").is_ok());
    assert!(target(json!({"sandbox_id": long})).check("abc").is_err());
    let config = |prefix: &str| Config::from_json(&json!({"container_prefix": prefix}).to_string()).unwrap();
    assert!(parse(Operation::Create, json!({"sandbox_id": long})).unwrap().check(&config("abc")).is_err());
    assert!(parse(Operation::Create, json!({})).unwrap().check(&config(&"p".repeat(40))).is_err());
    assert!(parse(Operation::Create, json!({})).unwrap().check(&config(&"p".repeat(30))).is_ok());
}

#[test]
fn a_request_has_the_defaults_of_the_contract() {
    let plain = request(json!({"sandbox_id": "a", "path": "/v1?x=1"}));
    assert_eq!((plain.method.as_str(), plain.path.as_str(), plain.body.clone()), ("GET", "/v1?x=1", None));
    assert_eq!((plain.timeout, plain.max_response_bytes), (Duration::from_secs(60), 16 << 20));
    let full = request(
        json!({"sandbox": {"sandbox_id": "a"}, "method": "POST", "path": "/", "headers": {"X-A": "b"}, "body": "a\u{0}b",
        "timeout_seconds": 0.5, "max_response_bytes": 0}),
    );
    assert_eq!(
        (full.headers, full.body.unwrap()),
        (vec![("X-A".to_owned(), "b".to_owned())], b"a\0b".to_vec())
    );
    assert_eq!((full.timeout, full.max_response_bytes), (Duration::from_millis(500), 0));
    assert_eq!(
        request(json!({"sandbox_id": "a", "path": "/", "body_base64": "/wA="})).body.unwrap(),
        [255, 0]
    );
    assert_eq!(request(json!({"sandbox_id": "a", "path": "/", "body": ""})).body.unwrap(), b"");
}

#[test]
fn a_bad_request_is_refused_by_the_field() {
    for (field, bads) in [
        ("method", json!(["get", "CONNECT", "TRACE", "", "GET secret", 5])),
        (
            "path",
            json!([
                "",
                "secret",
                "//secret",
                "/sec ret",
                "/sec\\ret",
                "/#secret",
                "/\u{e9}",
                "@127.0.0.1:1/secret",
                "http://secret/",
                "/sec\r\nret",
                null
            ]),
        ),
        (
            "headers",
            json!([{"Host": "secret"}, {"content-length": "5"}, {"Proxy-X": "secret"}, {"A": "sec\nret"}, {"A": 5}, {"A": "b", "a": "secret"}, ["secret"]]),
        ),
        ("body", json!([5, {}, ["secret"]])),
        ("body_base64", json!(["secret!", "/w", "_w==", "/w==\n", 5])),
        ("timeout_seconds", json!([-1, "secret"])),
        ("max_response_bytes", json!([-1, 1.5, 1e300, (1_u64 << 30) + 1])),
    ] {
        for bad in bads.as_array().unwrap() {
            let mut json = json!({"sandbox_id": "a", "path": "/"});
            json[field] = bad.clone();
            let said = message(Operation::Request, json);
            assert!(said.starts_with(&format!("`{field}")), "{field} {bad}: {said}");
        }
    }
    assert_eq!(
        message(Operation::Request, json!({"sandbox_id": "a", "path": "/", "body": "", "body_base64": ""})),
        "`body` stands beside `body_base64`"
    );
}

#[test]
fn the_key_is_the_librarys_to_set() {
    let config = Config::from_json(r#"{"auth": {"environment": "KEY", "header": "X-Key"}}"#).unwrap();
    let ask =
        parse(Operation::Request, json!({"sandbox_id": "a", "path": "/", "headers": {"x-kEY": "secret"}}))
            .unwrap();
    assert_eq!(ask.check(&config).unwrap_err().message(), "`headers` has the header of `auth`");
    let ask = parse(Operation::Create, json!({"environment": {"KEY": "secret"}})).unwrap();
    assert_eq!(ask.check(&config).unwrap_err().message(), "`environment.KEY` is the variable of `auth`");
    assert!(ask.check(&Config::from_json("{}").unwrap()).is_ok());
}

#[test]
fn only_request_takes_more_than_a_mebibyte() {
    let body = "x".repeat(2 << 20);
    assert_eq!(request(json!({"sandbox_id": "a", "path": "/", "body": body})).body.unwrap().len(), 2 << 20);
    assert_eq!(message(Operation::Create, json!({"image": body})), "the JSON is longer than 1048576 bytes");
}

#[test]
fn reap_must_be_told_how_long_idle_is() {
    let all =
        parse(Operation::Reap, json!({"idle_seconds": 0.5, "dry_run": true, "include_lost": true})).unwrap();
    assert_eq!(
        all,
        Ask::Reap(ReapRequest { idle: Duration::from_millis(500), dry_run: true, include_lost: true })
    );
    assert_eq!(message(Operation::Reap, json!({})), "`idle_seconds` is missing");
    assert_eq!(
        message(Operation::Reap, json!({"idle_seconds": 1, "dry_run": "no"})),
        "`dry_run` is not true or false"
    );
}

#[test]
fn wait_ready_takes_a_sandboxs_url_only() {
    let read =
        |url: &str| match parse(Operation::WaitReady, json!({"sandbox_url": url, "timeout_seconds": 1}))
            .unwrap()
        {
            Ask::WaitReady(request) => (request.host, request.port, request.authority),
            other => panic!("{other:?}"),
        };
    let is = |host: &str, port: u16, authority: &str| (host.to_owned(), port, authority.to_owned());
    assert_eq!(read("http://127.0.0.1:8080"), is("127.0.0.1", 8080, "127.0.0.1:8080"));
    assert_eq!(read("http://[::1]:80/"), is("::1", 80, "[::1]:80"));
    assert_eq!(read("http://[::1]"), is("::1", 80, "[::1]:80"));
    assert_eq!(read("http://Box"), is("box", 80, "box:80"));
    for bad in [
        "",
        "secret",
        "https://secret:1",
        "http://",
        "http:///",
        "http://secret:0",
        "http://secret:65536",
        "http://secret:",
        "http://secret:+80",
        "http://u@secret:1",
        "http://secret:1/path",
        "http://secret:1//",
        "http://secret:1?x",
        "http://::1:80",
        "http://[::1",
        "http://secret :1",
        "HTTP://secret:1",
        "unix:///secret",
    ] {
        assert_eq!(
            message(Operation::WaitReady, json!({"sandbox_url": bad, "timeout_seconds": 1})),
            "`sandbox_url` is not http://HOST:PORT",
            "{bad}"
        );
    }
    assert_eq!(
        message(Operation::WaitReady, json!({"sandbox_url": "http://a:1"})),
        "`timeout_seconds` is missing"
    );
    assert_eq!(message(Operation::WaitReady, json!({"timeout_seconds": 1})), "`sandbox_url` is missing");
}

#[test]
fn ports_are_asked_for_within_the_range_there_is() {
    let usual = AllocatePort::parse("{}").unwrap();
    assert_eq!((usual.start_port, usual.count, usual.state_dir), (8080, 100, None));
    let full =
        AllocatePort::parse(r#"{"start_port": 65535, "bind_host": "::1", "state_dir": "/tmp/x"}"#).unwrap();
    assert_eq!((full.start_port, full.count, full.bind_host), (65535, 1, "::1".parse().unwrap()));
    for (bad, field) in [
        (r#"{"start_port": 0}"#, "start_port"),
        (r#"{"start_port": 65535, "count": 2}"#, "count"),
        (r#"{"count": 0}"#, "count"),
        (r#"{"bind_host": "secret"}"#, "bind_host"),
        (r#"{"state_dir": "secret"}"#, "state_dir"),
        (r#"{"port": 1}"#, "port"),
    ] {
        assert!(AllocatePort::parse(bad).unwrap_err().message().starts_with(&format!("`{field}`")), "{bad}");
    }
    assert_eq!(ReleasePort::parse(r#"{"port": 8080}"#).unwrap(), ReleasePort { port: 8080 });
    for bad in ["{}", r#"{"port": 0}"#, r#"{"port": "1"}"#, r#"{"port": 1, "x": 1}"#] {
        assert_eq!(ReleasePort::parse(bad).unwrap_err().code(), Code::InvalidArgument, "{bad}");
    }
}
