//! The HTTP API: what a caller gets for what.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Server, answer};
use crate::stores::{On, on_every_store};

on_every_store!(
    create_read_patch_destroy,
    two_clients_patch_at_once_and_neither_update_is_lost,
    if_version_lets_one_of_two_win,
    rotation_forwards_and_login_does_not,
    a_subjects_sessions_are_listed_and_revoked,
    all_sessions_are_scanned_counted_and_revoked,
    every_api_route_asks_for_the_key,
    a_bad_body_is_named,
    a_bad_patch_is_named_and_changes_nothing,
    a_bad_address_is_named,
    a_sessions_own_lifetimes_end_it,
);

async fn create_read_patch_destroy(on: On) {
    let server = Server::on(on, &[]);
    let big = "12345678901234567890123";
    let body = format!(r#"{{"fields":{{"cart":["tea"],"big":{big}}},"label":"test"}}"#);
    let created = server
        .request(Method::POST, "/v1/sessions")
        .header("content-type", "application/json")
        .body(body);
    let (status, created) = answer(created).await;
    assert_eq!(status, 201);
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["session"]["version"], 1);
    assert_eq!(created["session"]["subject"], Value::Null);

    let text = server
        .request(Method::GET, "/v1/session")
        .header("Cloakroom-Session", id);
    let response = text.send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let text = response.text().await.unwrap();
    assert!(text.contains(big), "numbers are not rounded: {text}");
    assert!(!text.contains(id), "a read does not repeat the id");

    let changes = json!({"set": {"a": {"b": [1]}}, "remove": ["cart"], "increment": {"visits": 2}});
    let (status, patched) = server.patch(id, changes).await;
    assert_eq!(
        (status, patched),
        (200, json!({"version": 2, "increments": {"visits": 2}}))
    );
    let (_, session) = server.read(id).await;
    assert_eq!(session["fields"]["a"], json!({"b": [1]}));
    assert_eq!(session["fields"]["visits"], 2);
    assert_eq!(session["fields"]["cart"], Value::Null);

    let ended = |ended: bool| (200, json!({ "ended": ended }));
    let destroy = || server.about(id, Method::DELETE, "/v1/session", None);
    assert_eq!(destroy().await, ended(true));
    assert_eq!(destroy().await, ended(false));
    let (status, problem) = server.read(id).await;
    assert_eq!((status, &problem["code"]), (410, &json!("session_ended")));
    let (status, _) = server.patch(id, json!({"set": {"zombie": true}})).await;
    assert_eq!(status, 410);
}

async fn two_clients_patch_at_once_and_neither_update_is_lost(on: On) {
    let server = Server::on(on, &[]);
    let (id, _) = server.create(json!({})).await;
    let client = |name: &'static str| {
        let (server, id) = (&server, &id);
        async move {
            for turn in 0..50 {
                let patch = json!({"set": {name: turn}, "increment": {"sum": 1}});
                let (status, problem) = server.patch(id, patch).await;
                assert_eq!(status, 200, "{problem}");
            }
        }
    };
    tokio::join!(client("left"), client("right"));
    let (_, session) = server.read(&id).await;
    assert_eq!(
        session["fields"],
        json!({"left": 49, "right": 49, "sum": 100})
    );
    assert_eq!(session["version"], 101);
}

async fn if_version_lets_one_of_two_win(on: On) {
    let server = Server::on(on, &[]);
    let (id, _) = server.create(json!({})).await;
    let patch = |name: &str| server.patch(&id, json!({"set": {name: 1}, "if_version": 1}));
    let (one, two) = tokio::join!(patch("one"), patch("two"));
    let (won, lost) = if one.0 == 200 { (one, two) } else { (two, one) };
    assert_eq!(won.0, 200);
    assert_eq!(lost.0, 409);
    assert_eq!(lost.1["code"], "version_conflict");
    assert_eq!(lost.1["version"], 2, "the version to decide anew from");
    assert_eq!(lost.1["retryable"], false);
}

async fn rotation_forwards_and_login_does_not(on: On) {
    let server = Server::on(on, &[]);
    let (old, before) = server
        .create(json!({"fields": {"cart": 1, "secret": 2}}))
        .await;
    let (status, rotated) = server
        .about(&old, Method::POST, "/v1/session/rotate", None)
        .await;
    assert_eq!(status, 200);
    let new = rotated["id"].as_str().unwrap();
    assert_ne!(new, old);
    assert_eq!(rotated["session"]["handle"], before["handle"]);
    assert_eq!(server.read(&old).await.1["superseded"], true);
    assert_eq!(server.read(new).await.1["superseded"], false);
    let (status, again) = server
        .about(&old, Method::POST, "/v1/session/rotate", None)
        .await;
    assert_eq!(
        (status, &again["code"]),
        (409, &json!("session_superseded"))
    );

    let login = json!({"subject": "ada", "label": "Firefox", "keep_only": ["cart"]});
    let (status, session) = server
        .about(new, Method::POST, "/v1/session/login", Some(login))
        .await;
    assert_eq!(status, 200, "{session}");
    assert_eq!(session["session"]["subject"], "ada");
    assert_eq!(session["session"]["fields"], json!({"cart": 1}));
    assert_eq!(
        server.read(new).await.0,
        410,
        "after a login the old id is dead"
    );
    assert_eq!(server.read(&old).await.0, 410);
}

async fn a_subjects_sessions_are_listed_and_revoked(on: On) {
    let server = Server::on(on, &[]);
    let path = "/v1/subjects/ada%20l%2Fc/sessions";
    let subject = "ada l/c";
    let (first, second, third) = (
        server.login(subject).await,
        server.login(subject).await,
        server.login(subject).await,
    );
    let stranger = server.login("bob").await;
    let handle = |session: &Value| session["handle"].as_str().unwrap().to_owned();
    let own = handle(&server.read(&first).await.1);
    let others = handle(&server.read(&stranger).await.1);

    let text = server.get(path).await.text().await.unwrap();
    assert!(
        !text.contains(&first) && !text.contains(&second),
        "no id in a list"
    );
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 3);

    let delete = |path: String| answer(server.request(Method::DELETE, &path));
    let bobs = delete(format!("{path}/{others}")).await;
    assert_eq!(
        bobs,
        (200, json!({"ended": false})),
        "another subject's handle is unknown"
    );
    assert_eq!(server.read(&stranger).await.0, 200);
    let third_handle = handle(&server.read(&third).await.1);
    let one = delete(format!("{path}/{third_handle}")).await;
    assert_eq!(one, (200, json!({"ended": true})));
    assert_eq!(server.read(&third).await.0, 410);

    let rest = delete(format!("{path}?except={own}")).await;
    assert_eq!(rest, (200, json!({"revoked": 1})));
    assert_eq!(server.read(&first).await.0, 200);
    assert_eq!(server.read(&second).await.0, 410);
    assert_eq!(delete(path.to_owned()).await, (200, json!({"revoked": 1})));
    assert_eq!(delete(path.to_owned()).await, (200, json!({"revoked": 0})));
}

async fn all_sessions_are_scanned_counted_and_revoked(on: On) {
    let server = Server::on(on, &[]);
    let mut ids = Vec::new();
    for _ in 0..25 {
        ids.push(server.create(json!({})).await.0);
    }
    let (mut handles, mut cursor) = (std::collections::BTreeSet::new(), Some("0".to_owned()));
    while let Some(from) = cursor {
        let page = server
            .get(&format!("/v1/sessions?cursor={from}&limit=10"))
            .await;
        let text = page.text().await.unwrap();
        assert!(ids.iter().all(|id| !text.contains(id)), "no id in a scan");
        let page: Value = serde_json::from_str(&text).unwrap();
        for session in page["sessions"].as_array().unwrap() {
            handles.insert(session["handle"].as_str().unwrap().to_owned());
        }
        assert!(
            page["next"].is_null() || page["next"].is_string(),
            "no number is rounded"
        );
        cursor = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(handles.len(), 25);
    let (_, stats) = answer(server.request(Method::GET, "/v1/stats")).await;
    assert_eq!(stats["sessions"], 25);

    let revoke =
        |query: &str| answer(server.request(Method::DELETE, &format!("/v1/sessions{query}")));
    assert_eq!(revoke("").await.0, 400, "not by accident");
    assert_eq!(revoke("?confirm=yes").await.0, 400);
    assert_eq!(server.read(&ids[0]).await.0, 200);
    assert_eq!(revoke("?confirm=all").await, (204, Value::Null));
    for id in &ids {
        assert!(matches!(server.read(id).await.0, 404 | 410));
    }
    let (id, _) = server.create(json!({})).await;
    assert_eq!(server.read(&id).await.0, 200, "new sessions live");
}

async fn every_api_route_asks_for_the_key(on: On) {
    let server = Server::on(on, &[]);
    let (_, api) = answer(server.open_request(Method::GET, "/openapi.json")).await;
    let mut asked = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/") {
            continue;
        }
        let path = path
            .replace("{subject}", "ada")
            .replace("{handle}", "AAAAAAAAAAAAAAAA");
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for wrong in [None, Some("Bearer ck1_wrong"), Some("Basic YTpi"), Some("")] {
                let mut request = server.open_request(method.clone(), &path);
                if let Some(wrong) = wrong {
                    request = request.header("authorization", wrong);
                }
                let (status, problem) = answer(request).await;
                assert_eq!(status, 401, "{method} {path} {wrong:?} {problem}");
                assert_eq!(problem["code"], "unauthorized");
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 12 * 4, "every operation of the API was asked");
}

async fn a_bad_body_is_named(on: On) {
    let server = Server::on(on, &["--max-sessions", "1", "--on-excess", "refuse"]);
    server.login("ada").await;
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let lifetimes = json!({"absolute_seconds": 9});
    for (body, status, code) in [
        (json!({"feilds": {}}), 400, "invalid_request"),
        (json!({"subject": ""}), 400, "invalid_request"),
        (json!({"subject": "x".repeat(256)}), 422, "limit_exceeded"),
        (json!({"subject": "ada"}), 409, "too_many_sessions"),
        (
            json!({"lifetimes": {"absolute_seconds": 0}}),
            400,
            "invalid_request",
        ),
        (
            json!({"remember": true, "lifetimes": lifetimes}),
            400,
            "invalid_request",
        ),
        (json!({"fields": {"deep": deep}}), 422, "limit_exceeded"),
        (json!({"fields": {"": 1}}), 400, "invalid_request"),
        (json!([]), 400, "invalid_request"),
    ] {
        let request = server.request(Method::POST, "/v1/sessions").json(&body);
        refused(answer(request).await, status, code);
    }
    let post = || server.request(Method::POST, "/v1/sessions");
    refused(
        answer(post().body("{}")).await,
        415,
        "unsupported_media_type",
    );
    let json = post().header("content-type", "application/json");
    refused(answer(json.body("{")).await, 400, "invalid_request");
}

async fn a_bad_patch_is_named_and_changes_nothing(on: On) {
    let server = Server::on(on, &[]);
    let (id, _) = server.create(json!({"fields": {"text": "x"}})).await;
    let long = "x".repeat(65 * 1024);
    for (patch, status, code) in [
        (json!({"set": {"b": 1, "a": long}}), 422, "limit_exceeded"),
        (
            json!({"set": {"a": 1}, "remove": ["a"]}),
            400,
            "invalid_request",
        ),
        (json!({"set": {"a": 1}, "sett": {}}), 400, "invalid_request"),
        (json!({}), 400, "invalid_request"),
        (
            json!({"set": {"a": 1}, "increment": {"text": 1}}),
            422,
            "not_an_integer",
        ),
    ] {
        refused(server.patch(&id, patch).await, status, code);
    }
    let (_, problem) = server.patch(&id, json!({"set": {"a": long}})).await;
    assert_eq!(problem["what"], "field value");
    let sizes = (&problem["limit"], &problem["size"]);
    assert_eq!(sizes, (&json!(65_536), &json!(66_562)));
    let (_, session) = server.read(&id).await;
    assert_eq!(session["fields"], json!({"text": "x"}));
    assert_eq!(session["version"], 1);
    let metrics = server.get("/metrics").await.text().await.unwrap();
    let event = "cloakroom_events_total{event=\"session_limit_exceeded\"} 2\n";
    assert!(metrics.contains(event), "{metrics}");
}

async fn a_bad_address_is_named(on: On) {
    let server = Server::on(on, &[]);
    let id = server.login("ada").await;
    let unknown = (404, "session_unknown");
    let login = Some(json!({"subject": "bob"}));
    for forged in [
        "forged",
        &id[..44],
        &format!("{id}A"),
        &"A".repeat(45),
        "\u{e9}",
    ] {
        let (status, code) = unknown;
        refused(server.read(forged).await, status, code);
        refused(
            server.patch(forged, json!({"set": {"a": 1}})).await,
            status,
            code,
        );
        for (path, body) in [("rotate", None), ("login", login.clone())] {
            let path = format!("/v1/session/{path}");
            refused(
                server.about(forged, Method::POST, &path, body).await,
                status,
                code,
            );
        }
        let ended = server
            .about(forged, Method::DELETE, "/v1/session", None)
            .await;
        assert_eq!(ended, (200, json!({"ended": false})));
    }
    let (_, stats) = answer(server.request(Method::GET, "/v1/stats")).await;
    assert_eq!(stats["sessions"], 1, "nothing was created");
    let twice = server.request(Method::GET, "/v1/session");
    let twice = twice
        .header("Cloakroom-Session", &id)
        .header("Cloakroom-Session", &id);
    refused(answer(twice).await, 400, "session_id_missing");
    for (method, path, status, code) in [
        (Method::GET, "/v1/session", 400, "session_id_missing"),
        (Method::GET, "/v1/sessions?limit=0", 400, "invalid_request"),
        (
            Method::GET,
            "/v1/sessions?limit=1001",
            400,
            "invalid_request",
        ),
        (Method::GET, "/v1/sessions?page=1", 400, "invalid_request"),
        (
            Method::DELETE,
            "/v1/subjects/ada/sessions/x",
            400,
            "invalid_request",
        ),
        (
            Method::GET,
            "/v1/subjects/%FF/sessions",
            400,
            "invalid_request",
        ),
        (Method::GET, "/nowhere", 404, "not_found"),
        (Method::PUT, "/v1/session", 405, "method_not_allowed"),
    ] {
        refused(answer(server.request(method, path)).await, status, code);
    }
    // What has no names would be taken in our own order.
    for body in [json!([]), json!([{"a": 1}]), json!(["ada"]), json!(null)] {
        for (method, path) in [
            (Method::POST, "/v1/sessions"),
            (Method::PATCH, "/v1/session"),
            (Method::POST, "/v1/session/login"),
        ] {
            let answer = server.about(&id, method, path, Some(body.clone())).await;
            refused(answer, 400, "invalid_request");
        }
    }
}

fn refused((status, problem): (u16, Value), expected: u16, code: &str) {
    assert_eq!(
        (status, &problem["code"]),
        (expected, &json!(code)),
        "{problem}"
    );
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:cloakroom:problem:{code}"));
}

async fn a_sessions_own_lifetimes_end_it(on: On) {
    let server = Server::on(on, &[]);
    let lifetimes = json!({"idle_seconds": 1, "absolute_seconds": 1});
    let (id, session) = server.create(json!({ "lifetimes": lifetimes })).await;
    assert_eq!(session["lifetimes"], lifetimes);
    while server.read(&id).await.0 == 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(server.read(&id).await.0, 404 | 410));
    let (_, remembered) = server
        .create(json!({"remember": true, "subject": "ada"}))
        .await;
    assert_eq!(remembered["lifetimes"]["absolute_seconds"], 30 * 24 * 3_600);
}

/// Libraries for URLs take such segments away: a page of devices of `..` would be that of everybody.
#[tokio::test]
async fn no_subject_is_a_step_of_a_path() {
    let server = Server::start(&[]);
    let known = server.create(json!({})).await.0;
    for subject in [".", ".."] {
        let body = json!({"subject": subject});
        let created = server.request(Method::POST, "/v1/sessions").json(&body);
        let (status, problem) = answer(created).await;
        assert_eq!(status, 400, "{problem}");
        let login = server
            .about(&known, Method::POST, "/v1/session/login", Some(body))
            .await;
        assert_eq!(login.0, 400);
    }
    server.login("...").await;
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_refused_wherever_it_is() {
    let server = Server::start(&[]);
    let (id, _) = server.create(json!({"fields": {"a": {"x": 1}}})).await;
    let raw = |request: reqwest::RequestBuilder, body: &'static str| {
        answer(
            request
                .header("content-type", "application/json")
                .body(body),
        )
    };
    for body in [
        r#"{"set": {"a": 1, "a": 2}}"#,
        r#"{"set": {"a": 1, "\u0061": 2}}"#,
        r#"{"increment": {"b": 1, "b": 1}}"#,
        r#"{"set": {"a": 1}, "remove": ["a"]}"#,
    ] {
        let patch = server.request(Method::PATCH, "/v1/session");
        let (status, problem) = raw(patch.header("cloakroom-session", &id), body).await;
        assert_eq!(status, 400, "{body}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("a field is named twice"), "{detail}");
    }
    let create = server.request(Method::POST, "/v1/sessions");
    assert_eq!(raw(create, r#"{"fields": {"a": 1, "a": 2}}"#).await.0, 400);
    assert_eq!(server.read(&id).await.1["fields"], json!({"a": {"x": 1}}));
}
