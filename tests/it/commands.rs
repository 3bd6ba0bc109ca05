//! The commands besides watching and `replay`: `check`, `demo`, and what every program can.

use serde_json::Value;

use crate::rig::{Folder, Program, Told, program};

#[tokio::test]
async fn a_right_configuration_is_right_and_what_it_prints_is_too() {
    const CONFIG: &str = r#"
state_dir = "state"
[poll]
schedule = "0 */2 * * * *"
[[account]]
role_arn = "arn:aws:iam::111122223333:role/secretwatch"
regions = ["us-east-1", "us-east-2"]
[[rule]]
name = "many"
statistic = { distinct = "secret" }
threshold = 10
group_by = ["principal"]
secrets = ["prod/*"]
[notify.chat]
type = "webhook"
url = "https://hooks.example.com/T0/hunter2"
[notify.mail]
type = "sns"
topic_arn = "arn:aws:sns:us-east-2:111122223333:SecurityAlarms"
"#;
    let folder = Folder::new();
    folder.write("config.toml", CONFIG);
    folder.run(&["check", "-c", "config.toml"]).await.exits(0);
    let printed = folder.run(&["check", "--print", "-c", "config.toml"]).await.exits(0).stdout;
    assert!(!printed.contains("hunter2"), "{printed}");
    folder.write("printed.toml", &printed);
    let again = folder.run(&["--config", "printed.toml", "check", "--print"]).await.exits(0).stdout;
    assert_eq!(again, printed);
    assert!(!folder.path().join("state").exists(), "checking leaves nothing behind");
}

#[tokio::test]
async fn an_empty_file_is_a_configuration() {
    let folder = Folder::new();
    folder.write("empty.toml", "");
    let printed = folder.run(&["check", "--print", "-c", "empty.toml"]).await.exits(0).stdout;
    for words in ["secret-is-accessed", "GetSecretValue", "stdout", "15m"] {
        assert!(printed.contains(words), "no {words} in {printed}");
    }
}

#[tokio::test]
async fn the_configuration_may_be_a_variable() {
    let folder = Folder::new();
    let mut command = program(folder.path());
    command.env("SECRETWATCH_CONFIG_TOML", "state_dir = \"a\"").env("SECRETWATCH__POLL__LATENESS", "7m");
    let printed = Program::start(command.args(["check", "--print"])).ended().await.exits(0).stdout;
    assert!(printed.contains("state_dir = \"a\"") && printed.contains("lateness = \"7m\""), "{printed}");
}

#[tokio::test]
async fn what_is_doubtful_is_told_and_refused_only_by_the_strict() {
    let folder = Folder::new();
    folder.write("doubtful.toml", "[[rule]]\nname = \"a\"\nnotify = []\n");
    let warning = "doubtful.toml:3:10: rule[0].notify: warning: an empty list is no list";
    let told = folder.run(&["check", "-c", "doubtful.toml"]).await.exits(0).says(warning);
    assert!(told.stdout.contains("1 warning"), "{told}");
    let printed = folder.run(&["check", "--print", "-c", "doubtful.toml"]).await.exits(0).says(warning).stdout;
    assert!(printed.contains("[[rule]]") && !printed.contains("warning"), "{printed}");
    let refused = folder.run(&["check", "--strict", "-c", "doubtful.toml"]).await.exits(78).says(warning);
    assert_eq!(refused.stdout, "", "{refused}");
    folder.write("clear.toml", "use = [\"recommended\"]\n");
    assert_eq!(folder.run(&["check", "--strict", "-c", "clear.toml"]).await.exits(0).stderr, "");
}

#[tokio::test]
async fn the_built_in_rules_are_listed_and_can_be_copied() {
    let folder = Folder::new();
    let list = folder.run(&["rules"]).await.exits(0).stdout;
    let shown: Value = serde_json::from_str(&folder.run(&["rules", "--format", "json"]).await.exits(0).stdout).unwrap();
    let rules = shown.as_array().unwrap();
    assert!(rules.len() >= 17 && list.lines().all(|line| line.chars().count() <= 100), "{list}");
    for rule in rules {
        let [name, severity, technique] = ["name", "severity", "technique"].map(|key| rule[key].as_str().unwrap());
        let recommended = if rule["recommended"] == true { ", recommended" } else { "" };
        assert!(list.contains(&format!("{name} ({severity}, {technique}{recommended})\n")), "{name} in {list}");
        assert!(rule["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{rule}");
    }
    for words in [
        "15 different secrets by GetSecretValue (success), within 10m for one principal",
        "then one GetSecretValue (success), within 30m for one principal",
        "each GetSecretValue (success) with principal and secret not seen together for 30d, for one principal",
        "Needs \"cloudtrail.amazonaws.com\" among poll.event_sources.",
    ] {
        let flowing = list.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flowing.contains(words), "no {words:?} in {list}");
    }

    let copied = folder.run(&["rules", "bulk-read", "new-reader"]).await.exits(0).stdout;
    folder.write("copied.toml", &copied);
    folder.run(&["check", "--strict", "-c", "copied.toml"]).await.exits(0);
    let recommended = folder.run(&["rules", "--format", "json", "recommended"]).await.exits(0).stdout;
    let recommended: Vec<Value> = serde_json::from_str(&recommended).unwrap();
    let those = rules.iter().filter(|rule| rule["recommended"] == true);
    assert!(recommended.len() > 3 && recommended.iter().eq(those), "{recommended:?}");
    let one = folder.run(&["rules", "--format", "json", "bulk-read"]).await.exits(0).stdout;
    assert!(copied.contains(serde_json::from_str::<Value>(&one).unwrap()[0]["toml"].as_str().unwrap()), "{copied}");
    folder
        .run(&["rules", "bulk-reads", "bulk-read", "odd"])
        .await
        .exits(64)
        .says("no built-in rule \"odd\"")
        .says("no built-in rule \"bulk-reads\", did you mean \"bulk-read\"?");
}

#[tokio::test]
async fn the_demo_shows_an_alert_and_ends_when_asked() {
    let folder = Folder::new();
    let demo = Program::start(program(folder.path()).args(["demo", "--format", "json"]));
    let whole_line = |said: &str| said.contains('\n');
    demo.until_printed("an alert", whole_line).await;
    demo.signal("INT");
    let ended = demo.ended().await.exits(0);
    let alerts: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(alerts[0]["schema"], "secretwatch.alert.v1");
    Told::from_alerts(&alerts);
}

#[tokio::test]
async fn the_demo_names_its_page_and_ends_its_story_with_a_mail_and_json() {
    let folder = Folder::new();
    let demo = Program::start(program(folder.path()).args(["demo"]));
    demo.until_printed("the end of the story", |said| said.contains("Ctrl-C ends the demonstration.")).await;
    demo.signal("INT");
    let said = demo.ended().await.exits(0).stdout;
    assert!(said.starts_with("The page: http://127.0.0.1:"), "{said}");
    let [mail, alert] = [
        "Subject: [critical] Secret prod/canary/root-credentials was read",
        "\"rule\": {\n    \"name\": \"canary-is-read\"",
    ]
    .map(|words| said.find(words).unwrap_or_else(|| panic!("no {words} in\n{said}")));
    assert!(mail < alert, "{said}");
}

#[tokio::test]
async fn help_version_completions_and_manual() {
    let folder = Folder::new();
    for (arguments, words) in [
        (&["--help"][..], &["--once", "--config", "replay", "Exit status"][..]),
        (&["replay", "--help"], &["PATH", "--format", "--from-aws", "--compare", "--jobs"]),
        (&["check", "--help"], &["--print", "--strict"]),
        (&["rules", "--help"], &["NAME", "--format"]),
        (&["--version"], &["secretwatch ", env!("CARGO_PKG_VERSION")]),
        (&["completions", "bash"], &["complete -F", "secretwatch"]),
        (&["completions", "zsh"], &["#compdef secretwatch"]),
        (&["completions", "fish"], &["complete -c secretwatch"]),
        (&["man"], &[".TH secretwatch", "\\-\\-once"]),
    ] {
        let ended = folder.run(arguments).await.exits(0);
        for words in words {
            assert!(ended.stdout.contains(words), "no {words:?} in {ended}");
        }
        assert_eq!(ended.stderr, "", "{arguments:?}");
    }
}
