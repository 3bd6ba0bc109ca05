//! What the environment says: keys, and where the configuration is found.

use super::*;

#[test]
fn variables_are_laid_over_the_text() {
    let text = "[poll]\ninterval = \"1m\"\n[notify.My-chat]\ntype = \"webhook\"\nurl = \"https://a.example/\"";
    let config = right_with(
        text,
        &[
            ("SECRETWATCH__STATE_DIR", "/s"),
            ("SECRETWATCH__POLL__INTERVAL", "30s"),
            ("SECRETWATCH__poll__lateness", "\"2m\""),
            ("SECRETWATCH__POLL__REQUESTS_PER_SECOND", "0.5"),
            ("SECRETWATCH__POLL__INVENTORY", "false"),
            ("SECRETWATCH__POLL__EVENT_SOURCES", "['a.b', 'c.d']"),
            ("SECRETWATCH__NOTIFY__MY_CHAT__URL", "https://b.example/"),
            ("SECRETWATCH__NOTIFY__MY_CHAT__HEADERS", "{ x-team = 'sec' }"),
            ("SECRETWATCH__NOTIFY__EXTRA__TYPE", "stdout"),
            ("SECRETWATCH__STATUS__LISTEN", ""),
            ("SECRETWATCH__POLL__NARROW_WHEN_BEHIND", "true"),
            ("SECRETWATCH__HEARTBEAT__URL_ENV", "PING"),
            ("SECRETWATCH__HEARTBEAT__EVERY", "5m"),
            ("PING", "https://ping.example.com/x"),
            ("SECRETWATCHMAN", "somebody else's"),
        ],
    );
    assert_eq!(config.state_dir, Path::new("/s"));
    assert_eq!(config.poll.cadence, Cadence::Every(Duration::from_secs(30)));
    assert_eq!((config.poll.lateness, config.poll.requests_per_second), (Duration::from_secs(120), 0.5));
    assert_eq!((config.poll.inventory, config.poll.event_sources.len()), (false, 2));
    assert!(config.poll.narrow_when_behind);
    let heartbeat = config.heartbeat.as_ref().expect("a heartbeat");
    assert_eq!((heartbeat.url.as_str(), heartbeat.every.as_secs()), ("https://ping.example.com/x", 300));
    assert_eq!(config.rules[0].notify, ["My-chat", "extra"]);
    let Target::Webhook(hook) = &config.notifiers["My-chat"].target else { panic!("a webhook") };
    assert_eq!((hook.url.as_str(), hook.headers.len()), ("https://b.example/", 1));
}

/// Whatever can be said outside of lists of tables can be said by the environment, and means the same there.
#[test]
fn every_key_has_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let (url, key) = (file("url", "https://h.example/"), file("key", secret));
    let token = file("token", "a-long-token");
    let (routing, template) = (file("routing", "R0UTINGKEY"), file("t.j2", "{{ summary }}"));
    let hook = "type = \"webhook\"\nurl = \"https://h.example/\"";
    let bare = "type = \"webhook\"";
    let topic = "type = \"sns\"\ntopic_arn = \"arn:aws:sns:us-east-1:111122223333:a\"";
    let paged = "type = \"webhook\"\nformat = \"pagerduty\"";
    let templated = format!("{hook}\ntemplate = {template:?}");
    let beat = "url = \"https://ping.example/x\"";
    let calendar = "schedule = \"0 0 8 * * MON\"";
    // The key, what its table needs besides, and a value as a variable has it.
    let samples: [(&str, &str, &str); 42] = [
        ("state_dir", "", "/s"),
        ("use", "", "[\"bulk-read\"]"),
        ("poll.interval", "", "30s"),
        ("poll.schedule", "", "0 * * * * *"),
        ("poll.lateness", "", "2m"),
        ("poll.backfill", "", "2h"),
        ("poll.requests_per_second", "", "0.5"),
        ("poll.recheck", "", "12h"),
        ("poll.stale_after", "", "20m"),
        ("poll.event_sources", "", "[\"a.b\"]"),
        ("poll.retention", "", "40d"),
        ("poll.inventory", "", "false"),
        ("poll.narrow_when_behind", "", "true"),
        ("notify.*.type", "", "stdout"),
        ("notify.*.topic_arn", "type = \"sns\"", "arn:aws:sns:us-east-1:111122223333:a"),
        ("notify.*.format", topic, "json"),
        ("notify.*.url", bare, "https://h.example/"),
        ("notify.*.url_env", bare, "URL"),
        ("notify.*.url_file", bare, &url),
        ("notify.*.signing_secret_file", hook, &key),
        ("notify.*.signing_secret_env", hook, "SIGNING"),
        ("notify.*.headers", hook, "{ x-team = \"sec\" }"),
        ("notify.*.timeout", hook, "7s"),
        ("notify.*.template", hook, &template),
        ("notify.*.content_type", &templated, "text/plain"),
        ("notify.*.routing_key_file", paged, &routing),
        ("notify.*.routing_key_env", paged, "ROUTING"),
        ("notify.*.min_severity", hook, "high"),
        ("notify.*.retry_for", hook, "1h"),
        ("notify.*.send_resolved", hook, "false"),
        ("notify.*.fallback", hook, "0"),
        ("notify.*.fallback_after", &format!("{hook}\nfallback = \"0\""), "9m"),
        ("digest.schedule", "", "0 0 8 * * MON"),
        ("digest.since", calendar, "1d"),
        ("digest.notify", calendar, "[\"1\"]"),
        ("heartbeat.url", "", "https://ping.example/x"),
        ("heartbeat.url_env", "", "URL"),
        ("heartbeat.url_file", "", &url),
        ("heartbeat.every", beat, "5m"),
        ("heartbeat.timeout", beat, "3s"),
        ("status.listen", "", "127.0.0.1:9999"),
        ("status.token_file", "", &token),
    ];
    let given = [("URL", "https://h.example/"), ("SIGNING", secret), ("ROUTING", "R0UTINGKEY")];
    let tested: Vec<&str> = samples.iter().map(|(key, ..)| *key).collect();
    let known = known_keys();
    let meant: Vec<&String> = known.iter().filter(|key| !key.contains("[]")).collect();
    assert_eq!(meant, tested, "a sample for each key");
    for (key, base, value) in samples {
        let path = key.replace('*', "a");
        let (table, name) = path.rsplit_once('.').map_or(("", path.as_str()), |(table, name)| (table, name));
        let is_text = !(value.starts_with(['{', '[']) || ["true", "false", "0.5"].contains(&value));
        let quoted = if is_text { format!("{value:?}") } else { value.to_owned() };
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let other = "\n[notify.0]\ntype = \"stdout\"\n[notify.1]\ntype = \"stdout\"\n";
        let whole = |table: &str| if header.is_empty() { format!("{table}{other}") } else { format!("{other}{table}") };
        let written = right_with(&whole(&format!("{header}{base}\n{name} = {quoted}")), &given);
        let variable = format!("SECRETWATCH__{}", path.to_uppercase().replace('.', "__"));
        let variables = [&given[..], &[(variable.as_str(), value)]].concat();
        // A table that nothing else is said of is made by the variable.
        let text = if base.is_empty() { other.to_owned() } else { whole(&format!("{header}{base}")) };
        assert_eq!(render(&right_with(&text, &variables)), render(&written), "{variable}");
        let unset = check(&text, "F", &with(&given)).map(|config| render(&config));
        assert_ne!(unset.ok(), Some(render(&written)), "{variable} changes nothing");
    }
}

#[test]
fn a_text_that_looks_like_a_number_is_a_text_where_one_is_wanted() {
    assert_eq!(right_with("", &[("SECRETWATCH__STATE_DIR", "5")]).state_dir, Path::new("5"));
}

#[test]
fn variables_that_are_wrong() {
    let unknown = |name: &str, expected: &str| wrong_with("", &[(name, "1")], &format!("{name}: {expected}"));
    unknown("SECRETWATCH__STATE_DIRR", "unknown key \"state_dirr\", did you mean \"state_dir\"?");
    unknown("SECRETWATCH__POLL__INTERVALL", "unknown key \"poll.intervall\", did you mean \"interval\"?");
    unknown("SECRETWATCH__POL__INTERVAL", "unknown section \"pol\", did you mean \"poll\"?");
    unknown("SECRETWATCH__POLL", "poll is a table; set its keys one by one");
    unknown("SECRETWATCH__HEARTBEAT", "heartbeat is a table; set its keys one by one");
    unknown("SECRETWATCH__HEARTBEAT__EVRY", "unknown key \"heartbeat.evry\", did you mean \"every\"?");
    unknown("SECRETWATCH__HEARTBEAT__URL", "heartbeat.url: not a URL");
    unknown("SECRETWATCH__NOTIFY__URL", "names no notifier; write SECRETWATCH__NOTIFY__NAME__URL");
    unknown("SECRETWATCH__NOTIFY__A__B__URL", "unknown notifier \"a__b\"");
    unknown("SECRETWATCH__RULE__NAME", "no variable sets a key of [[rule]]");
    unknown("SECRETWATCH__", "unknown key \"\"");
    unknown("SECRETWATCH__POLL__INTERVAL", "poll.interval: expected a duration");
    unknown("SECRETWATCH__POLL__EVENT_SOURCES", "poll.event_sources: expected an array of event sources");
    unknown("SECRETWATCH__STATUS__TOKEN_FILE", "status.token_file: \"1\" cannot be read");
    wrong_with(
        "",
        &[("SECRETWATCH__NOTIFY__A__URL", "https://a.example/")],
        "SECRETWATCH__NOTIFY__A__URL: notify.a.type: missing",
    );
    let twice = [("SECRETWATCH__POLL__LATENESS", "1m"), ("SECRETWATCH__poll__lateness", "2m")];
    wrong_with("", &twice, "SECRETWATCH__poll__lateness: SECRETWATCH__POLL__LATENESS sets the same key");
    let alike = "[notify.a-b]\ntype = \"stdout\"\n[notify.a_b]\ntype = \"stdout\"";
    wrong_with(
        alike,
        &[("SECRETWATCH__NOTIFY__A_B__RETRY_FOR", "1h")],
        "SECRETWATCH__NOTIFY__A_B__RETRY_FOR: may mean",
    );
    wrong_with("poll = 5", &[("SECRETWATCH__POLL__INTERVAL", "1m")], "1:8: poll: expected a table");
}

#[test]
fn variables_that_are_no_text() {
    let latin1 = std::ffi::OsString::from_vec(b"/\xe9".to_vec());
    for name in ["SECRETWATCH__STATE_DIR", "STATE_DIRECTORY"] {
        let env: Environment = [(name, latin1.clone())].into_iter().collect();
        let found = complaints_in("", &env);
        assert!(found.len() == 1 && found[0].ends_with("not UTF-8"), "{found:?}");
    }
}

#[test]
fn systemd_says_where_the_state_lies() {
    assert_eq!(right_with("", &[("STATE_DIRECTORY", "/a:/b")]).state_dir, Path::new("/a"));
    assert_eq!(right_with("state_dir = \"/c\"", &[("STATE_DIRECTORY", "/a")]).state_dir, Path::new("/c"));
}

#[test]
fn the_first_source_that_is_there_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("state_dir = \"/{name}\"")).unwrap();
        path
    };
    let (named, variable) = (file("named"), file("variable"));
    let path_only = with(&[("SECRETWATCH_CONFIG", variable.to_str().unwrap()), ("SECRETWATCH_CONFIG_TOML", "")]);
    let both = with(&[
        ("SECRETWATCH_CONFIG", variable.to_str().unwrap()),
        ("SECRETWATCH_CONFIG_TOML", "state_dir = \"/text\""),
    ]);
    let state_dir = |path: Option<&PathBuf>, env| load(path.map(PathBuf::as_path), env).unwrap().state_dir;
    assert_eq!(state_dir(Some(&named), &both), Path::new("/named"));
    assert_eq!(state_dir(None, &both), Path::new("/text"));
    assert_eq!(state_dir(None, &path_only), Path::new("/variable"));
}

#[test]
fn what_cannot_be_loaded_says_which_source() {
    let none = Environment::default();
    let nowhere = load(Some(Path::new("/nowhere/x.toml")), &none).unwrap_err();
    assert_eq!(nowhere.to_string(), "configuration file /nowhere/x.toml cannot be read");
    assert!(std::error::Error::source(&nowhere).is_some());
    let inline = load(None, &with(&[("SECRETWATCH_CONFIG_TOML", "x = 1")])).unwrap_err();
    assert!(inline.to_string().starts_with("SECRETWATCH_CONFIG_TOML:1:1: x: unknown key"), "{inline}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"# ok\nstate_dir = \"\xe9\"").unwrap();
    let latin1 = load(Some(&path), &none).unwrap_err().to_string();
    assert!(latin1.ends_with("latin1.toml:2:14: not UTF-8; TOML files are"), "{latin1}");
}
