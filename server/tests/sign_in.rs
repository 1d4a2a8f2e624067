//! Signing in, where a token is set.
mod common;

use common::TestPanel;

const TOKEN: &str = "0123456789abcdef0123456789abcdef-a-token";

#[test]
fn a_token_is_typed_once_and_a_cookie_stands_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let panel = TestPanel::guarded(&file);
    let html = [("Accept", "text/html")];
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let asked = panel.send("GET", "/", &html, "");
    assert_eq!((asked.status, asked.head.contains("location: /sign-in")), (303, true), "{}", asked.head);
    let refused = panel.get("/api/demo/status");
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap().to_owned()), (401, "signed_out".to_owned()));
    assert_eq!(panel.get("/healthz").status, 200, "probes have no token");
    let page = panel.send("GET", "/sign-in", &html, "");
    assert_eq!(page.status, 200);
    assert!(page.text.contains(r#"action="/sign-in""#) && page.text.contains(r#"type="password""#), "{}", page.text);

    let entered = panel.send("POST", "/sign-in", &form, &format!("token={TOKEN}"));
    assert_eq!(entered.status, 303, "{}", entered.text);
    let line = entered.head.lines().find(|l| l.starts_with("set-cookie: demo-panel-session=")).unwrap().to_owned();
    assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict") && !line.contains(TOKEN), "{line}");
    let cookie = line.trim_start_matches("set-cookie: ").split(';').next().unwrap().to_owned();
    assert_eq!(panel.send("GET", "/api/demo/status", &[("Cookie", &cookie)], "").status, 200);
    assert_eq!(panel.send("GET", "/api/demo/status", &[("Authorization", &format!("Bearer {TOKEN}"))], "").status, 200);
    assert_eq!(
        panel.send("GET", &format!("/api/demo/status?token={TOKEN}"), &[], "").status,
        401,
        "never in an address"
    );
    // A form of another origin, and a form to a verb.
    assert_eq!(panel.send("POST", "/sign-in", &[form[0], ("Origin", "https://evil.example")], "token=x").status, 403);
    assert_eq!(panel.send("POST", "/api/demo/deploy", &[form[0], ("Cookie", &cookie)], "a=b").status, 415);

    // Back to the panel one came from, and to nowhere else.
    let asked = panel.send("GET", "/?namespace=other", &html, "");
    assert!(asked.head.contains("location: /sign-in?namespace=other"), "{}", asked.head);
    let page = panel.send("GET", "/sign-in?namespace=other", &html, "");
    assert!(page.text.contains(r#"action="/sign-in?namespace=other""#), "{}", page.text);
    for (query, back) in [("?namespace=other", "/?namespace=other"), ("?namespace=//evil.example", "/"), ("", "/")] {
        let entered = panel.send("POST", &format!("/sign-in{query}"), &form, &format!("token={TOKEN}"));
        assert!(entered.head.contains(&format!("location: {back}\r\n")), "{query}: {}", entered.head);
    }

    for i in 0..3 {
        let wrong = panel.send("POST", "/sign-in", &form, "token=wrong");
        assert_eq!(wrong.status, 401, "try {i}");
        assert!(wrong.text.contains("not the token") && !wrong.text.contains("wrong\""), "{}", wrong.text);
    }
    let wrong = panel.send("GET", "/api/demo/status", &[("Authorization", "Bearer wrong")], "");
    assert_eq!(wrong.status, 401, "{}", wrong.text);
    let metrics = panel.send("GET", "/metrics", &[("Cookie", &cookie)], "").text;
    assert!(metrics.contains("demo_panel_wrong_tokens_total 4\n"), "{metrics}");
    let right = panel.send("POST", "/sign-in", &form, &format!("token={TOKEN}"));
    assert_eq!(
        right.status, 303,
        "behind a port-forward all have one address: nobody locks the others out; {}",
        right.text
    );
    assert_eq!(panel.send("GET", "/api/demo/status", &[("Cookie", &cookie)], "").status, 200, "who is in stays in");
    assert!(!panel.log().contains(TOKEN), "{}", panel.log());
}
