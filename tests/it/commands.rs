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
async fn help_version_completions_and_manual() {
    let folder = Folder::new();
    for (arguments, words) in [
        (&["--help"][..], &["--once", "--config", "replay", "Exit status"][..]),
        (&["replay", "--help"], &["PATH", "--format", "--from-aws", "--compare", "--jobs"]),
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
