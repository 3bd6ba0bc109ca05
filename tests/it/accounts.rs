//! Many accounts and Regions, and what stands in more than one of their trails.

use std::collections::BTreeSet;

use secretwatch::demo::{Caller, Record};
use serde_json::json;

use crate::rig::Rig;

const PROD: &str = "111122223333";
const TEST: &str = "444455556666";
const STRANGER: &str = "999988887777";

/// Both accounts by roles, each in two Regions, and the default rule.
const BOTH: &str = r#"
[[account]]
name = "prod"
role_arn = "arn:aws:iam::111122223333:role/security/watch"
external_id = "sesame"
regions = ["us-east-1", "eu-west-1"]

[[account]]
name = "test"
role_arn = "arn:aws:iam::444455556666:role/security/watch"
external_id = "sesame"
regions = ["us-east-1", "eu-west-1"]
"#;

const DEFAULT: &str = "secret-is-accessed";

async fn both() -> Rig {
    let mut rig = Rig::new().await;
    rig.tables(BOTH);
    for account in [PROD, TEST] {
        rig.account.guard_role(&format!("arn:aws:iam::{account}:role/security/watch"), "sesame");
    }
    rig
}

#[tokio::test]
async fn every_account_and_region_is_read() {
    let rig = both().await;
    let sources: Vec<(&str, &str)> = [PROD, TEST]
        .into_iter()
        .flat_map(|account| ["us-east-1", "eu-west-1"].map(|region| (account, region)))
        .collect();
    // The same name everywhere: four secrets, since a name belongs to its account and Region.
    let put = |(account, region): &(&str, &str)| {
        rig.account.put(&Record::read("prod/db").at(rig.ago(600)).in_source(account, region))
    };
    let expected: BTreeSet<String> = sources.iter().map(put).collect();
    rig.once_well().await;
    assert_eq!(rig.told().covered(DEFAULT), expected);
    let told = rig.told();
    let places: BTreeSet<(&str, &str)> = told
        .alerts()
        .iter()
        .flat_map(|alert| alert["accesses"].as_array().unwrap())
        .map(|access| (access["account"].as_str().unwrap(), access["region"].as_str().unwrap()))
        .collect();
    assert_eq!(places, sources.into_iter().collect());
    assert_eq!(told.kinds(), ["opened"; 4]);
    assert!(!rig.account.calls_of("AssumeRole").is_empty());
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_disturbs_no_other() {
    let rig = both().await;
    let seen = rig.account.put(&Record::read("a").at(rig.ago(600)).in_source(PROD, "us-east-1"));
    let hidden = rig.account.put(&Record::read("b").at(rig.ago(600)).in_source(TEST, "us-east-1"));
    let role = format!("arn:aws:iam::{TEST}:role/security/watch");
    rig.account.guard_role(&role, "changed");
    rig.once().await.exits(1).says(TEST);
    assert_eq!(rig.told().covered(DEFAULT), BTreeSet::from([seen.clone()]));
    rig.account.guard_role(&role, "sesame");
    rig.once_well().await;
    assert_eq!(rig.told().covered(DEFAULT), BTreeSet::from([seen, hidden]));
}

/// Somebody of account 444455556666 reads a secret of `owner`: one record in each of two trails.
fn copies(rig: &Rig, owner: &str) -> [Record; 2] {
    let arn = format!("arn:aws:secretsmanager:us-east-1:{owner}:secret:prod/db-AbCdEf");
    let record = Record::read(&arn).by(Caller::user(TEST, "ada")).at(rig.ago(600)).shared("shared-1");
    [record.clone().in_source(PROD, "us-east-1"), record.in_source(TEST, "us-east-1")]
}

#[tokio::test]
async fn a_cross_account_access_counts_once_in_the_owners_account() {
    for owner in [PROD, TEST] {
        for order in [[0, 1], [1, 0]] {
            let rig = both().await;
            let copies = copies(&rig, owner);
            for copy in order {
                rig.account.put(&copies[copy]);
                rig.once_well().await;
            }
            let told = rig.told();
            assert_eq!(told.kinds(), ["opened"], "{owner} {order:?}");
            let opened = told.one("opened");
            assert_eq!(opened["accesses"].as_array().unwrap().len(), 1);
            assert_eq!(opened["accesses"][0]["account"], owner, "{order:?}");
            assert_eq!(opened["accesses"][0]["principal"]["arn"], format!("arn:aws:iam::{TEST}:user/ada"));
        }
    }
}

#[tokio::test]
async fn without_the_owner_a_cross_account_access_counts_once() {
    for order in [[0, 1], [1, 0]] {
        let rig = both().await;
        let copies = copies(&rig, STRANGER);
        for copy in order {
            rig.account.put(&copies[copy]);
        }
        rig.once_well().await;
        let told = rig.told();
        assert_eq!(told.kinds(), ["opened"]);
        let opened = told.one("opened");
        assert_eq!(opened["accesses"].as_array().map(Vec::len), Some(1));
        // Sources are read side by side: what was told before the smaller account's copy was there stays told.
        assert!([PROD, TEST].map(Some).contains(&opened["accesses"][0]["account"].as_str()));
    }
}

#[tokio::test]
async fn a_copy_that_comes_after_the_alert_changes_nothing() {
    for (order, account) in [([0, 1], PROD), ([1, 0], TEST)] {
        let rig = both().await;
        let copies = copies(&rig, STRANGER);
        for copy in order {
            rig.account.put(&copies[copy]);
            rig.once_well().await;
        }
        assert_eq!(rig.told().kinds(), ["opened"]);
        assert_eq!(rig.told().one("opened")["accesses"][0]["account"], account);
    }
}

#[tokio::test]
async fn a_batch_counts_by_its_single_reads() {
    let mut rig = Rig::new().await;
    rig.tables("");
    let batch = Record::new("BatchGetSecretValue").parameter("secretIdList", json!(["a", "b"])).at(rig.ago(600));
    rig.account.put(&batch);
    let expected = BTreeSet::from([rig.read("a", 600), rig.read("b", 600)]);
    rig.once_well().await;
    assert_eq!(rig.told().covered(DEFAULT), expected);
    assert_eq!(rig.told().kinds(), ["opened", "opened"]);
}

#[tokio::test]
async fn an_update_of_a_record_is_the_same_access() {
    let rig = Rig::new().await;
    let read = rig.read("a", 600);
    rig.once_well().await;
    rig.account.put(&Record::read("a").at(rig.ago(600)).updates(&read));
    rig.once_well().await;
    assert_eq!(rig.receiver.requests().len(), 1);

    // The update first, the original late.
    let rig = Rig::new().await;
    rig.account.put(&Record::read("a").at(rig.ago(600)).id("update").updates("original"));
    rig.once_well().await;
    rig.account.put(&Record::read("a").at(rig.ago(600)).id("original"));
    rig.once_well().await;
    assert_eq!(rig.told().kinds(), ["opened"]);
    assert_eq!(rig.told().one("opened")["accesses"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn denied_reads_are_told_with_the_secret_that_was_denied() {
    let mut rig = Rig::new().await;
    rig.tables("[[rule]]\nname = \"denied\"\noutcome = \"denied\"\nsecrets = [\"prod/*\"]\n");
    let record = |secret: &str| Record::read(secret).by(Caller::role(PROD, "app", "i-1")).at(rig.ago(600)).denied();
    let denied = rig.account.put(&record("prod/db"));
    rig.account.put(&record("dev/db"));
    rig.read("prod/db", 600);
    rig.once_well().await;
    let told = rig.told();
    assert_eq!(told.covered("denied"), BTreeSet::from([denied]));
    let access = &told.one("opened")["accesses"][0];
    assert_eq!((&access["outcome"], &access["secret"]["name"]), (&json!("denied"), &json!("prod/db")));
    assert_eq!(access["principal"]["arn"], format!("arn:aws:iam::{PROD}:role/app"));
}

#[tokio::test]
async fn its_own_inventory_calls_are_not_counted_and_its_reads_are() {
    let mut rig = Rig::new().await;
    rig.poll("inventory", "true").tables("[[rule]]\nname = \"all\"\ngroup_by = []\n");
    rig.account.add_secret("prod/db");
    let own = Caller::user(PROD, "operator");
    for name in ["ListSecrets", "DescribeSecret"] {
        rig.account.put(&Record::new(name).by(own.clone()).at(rig.ago(600)));
    }
    let read = rig.account.put(&Record::read("prod/db").by(own).at(rig.ago(600)));
    let other = rig.account.put(&Record::new("ListSecrets").by(Caller::user(PROD, "eve")).at(rig.ago(600)));
    let daemon = rig.daemon();
    rig.until_covered(&daemon, "all", &BTreeSet::from([read.clone(), other.clone()])).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    rig.once_well().await;
    assert_eq!(rig.told().covered("all"), BTreeSet::from([read, other]));
}
