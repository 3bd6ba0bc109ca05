use std::os::unix::fs::FileTypeExt;

use super::super::fixture::ledger;
use super::super::protocol::{Answer, Ask, PROTOCOL, Says};
use super::*;

/// A socket that is served.
struct Served {
    folder: tempfile::TempDir,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<Result<(), StoreError>>,
}

impl Served {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (keeper, _) = Keeper::start(ledger());
        let stop = CancellationToken::new();
        let control = Control::open(folder.path()).unwrap();
        let clock = WallClock::new(|| WallTime(7));
        let serving = tokio::spawn(control.serve(keeper, clock, stop.clone()));
        Self { folder, stop, serving }
    }

    async fn connect(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(socket(self.folder.path())).await.unwrap())
    }

    /// What is replied to these bytes.
    async fn says(&self, sent: &[u8]) -> Says {
        let mut client = self.connect().await;
        client.write_all(sent).await.unwrap();
        heard(&mut client).await
    }
}

async fn heard(client: &mut BufReader<UnixStream>) -> Says {
    let mut line = String::new();
    client.read_line(&mut line).await.unwrap();
    let reply: Reply = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    assert_eq!((reply.v, reply.secretwatch.as_str()), (PROTOCOL, env!("CARGO_PKG_VERSION")));
    reply.says
}

fn asked(id: &str) -> String {
    Ask::Explain { event_id: id.to_owned() }.request() + "\n"
}

fn headline(says: Says) -> String {
    match says {
        Says::Answer(Answer::Explanation(explanation)) => explanation.headline,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other_and_garbage_between_them_is_refused() {
    let served = Served::begin();
    let mut client = served.connect().await;
    for _ in 0..3 {
        client.write_all(asked("e").as_bytes()).await.unwrap();
        assert!(headline(heard(&mut client).await).starts_with("Event e is not known here"));
        client.write_all(b"\xff\xfe nonsense\n").await.unwrap();
        assert!(matches!(heard(&mut client).await, Says::Refusal(refusal) if refusal.code == RefusalCode::BadRequest));
    }
    // Two at once, the second without an end.
    let both = asked("a") + asked("b").trim_end();
    client.write_all(both.as_bytes()).await.unwrap();
    client.get_mut().shutdown().await.unwrap();
    assert!(headline(heard(&mut client).await).starts_with("Event a "));
    assert!(headline(heard(&mut client).await).starts_with("Event b "));
}

#[tokio::test]
async fn a_request_without_end_is_refused() {
    let served = Served::begin();
    let most = usize::try_from(MAX_REQUEST).unwrap();
    let says = served.says(&vec![b'x'; most + 1]).await;
    assert!(matches!(says, Says::Refusal(refusal) if refusal.code == RefusalCode::TooLong));
    let id = "i".repeat(most - asked("").len());
    assert!(headline(served.says(asked(&id).as_bytes()).await).starts_with("Event iii"));
}

#[tokio::test]
async fn clients_do_not_wait_for_each_other() {
    let served = Served::begin();
    let mut silent = served.connect().await;
    let mut talking = served.connect().await;
    talking.write_all(asked("b").as_bytes()).await.unwrap();
    assert!(headline(heard(&mut talking).await).starts_with("Event b "));
    silent.write_all(asked("a").as_bytes()).await.unwrap();
    assert!(headline(heard(&mut silent).await).starts_with("Event a "));
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_let_go_and_makes_room() {
    let served = Served::begin();
    let mut silent = Vec::new();
    for _ in 0..MAX_CLIENTS {
        silent.push(served.connect().await);
    }
    assert!(headline(served.says(asked("late").as_bytes()).await).starts_with("Event late "));
    for mut client in silent {
        assert_eq!(client.read_line(&mut String::new()).await.unwrap(), 0, "it was let go without a word");
    }
}

#[tokio::test]
async fn a_stop_takes_the_socket_away_and_waits_for_nobody() {
    let served = Served::begin();
    let mut idle = served.connect().await;
    idle.write_all(asked("e").as_bytes()).await.unwrap();
    heard(&mut idle).await;
    let path = socket(served.folder.path());
    let kept = std::fs::symlink_metadata(&path).unwrap();
    assert!(kept.file_type().is_socket());
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(served.folder.path()).unwrap().count(), 1, "only the socket is left in the folder");
    served.stop.cancel();
    served.serving.await.unwrap().unwrap();
    assert!(!path.exists());
    assert_eq!(idle.read_line(&mut String::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_killed_daemon_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(WORKSHOP)).unwrap();
    std::fs::write(folder.path().join(WORKSHOP).join("s"), "").unwrap();
    // Nobody removes the file of a listener that is only dropped.
    drop(UnixListener::bind(socket(folder.path())).unwrap());
    let control = Control::open(folder.path()).unwrap();
    UnixStream::connect(socket(folder.path())).await.unwrap();
    drop(control);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_path_that_fits_no_address_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let room = MAX_ADDRESS - folder.path().as_os_str().len() - 1 - SOCKET.len() - 1;
    let longest = folder.path().join("d".repeat(room));
    let longer = folder.path().join("d".repeat(room + 1));
    std::fs::create_dir(&longest).unwrap();
    std::fs::create_dir(&longer).unwrap();
    drop(Control::open(&longest).unwrap());
    let error = Control::open(&longer).unwrap_err().to_string();
    assert!(error.contains("more than 107 bytes") && error.contains("shorter state_dir"), "{error}");
    let missing = Control::open(&folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot create "), "{missing}");
}

#[tokio::test]
async fn a_ledger_that_has_ended_is_told_to_whoever_asks() {
    let (keeper, _) = Keeper::start(ledger());
    keeper.run(|_| Err::<(), _>(StoreError::Stopped)).await.unwrap_err();
    let reply = reply(asked("e").as_bytes(), &keeper, WallTime(0)).await;
    assert!(matches!(reply.says, Says::Refusal(refusal) if refusal.code == RefusalCode::Store), "no answer");
}
