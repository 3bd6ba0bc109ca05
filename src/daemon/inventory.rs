//! The secrets that exist, as ListSecrets tells them. They only annotate: what an access counts as was settled by its
//! record, so that an inventory that is late, refused or wrong can never change a group. Rules that select secrets by tag
//! go by the tags that are annotated, which are fixed with the access; where none are known, they count it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::aws::ListedSecret;
use crate::model::{Access, Secret};

/// Account, Region and name: what identifies a secret.
type Identity = (String, String, String);

/// What is known of the secrets of all sources.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The tags that somebody asks for.
    wanted: BTreeSet<String>,
    known: Mutex<HashMap<Identity, Known>>,
    /// Spellings that were warned about.
    warned: Mutex<HashSet<String>>,
}

/// What is known of one secret.
#[derive(Debug)]
struct Known {
    arn: String,
    /// Of the wanted tags each, if it has it.
    tags: BTreeMap<String, Option<String>>,
}

impl Inventory {
    /// An empty one that keeps these tags of what it learns.
    #[must_use]
    pub fn of_tags(wanted: BTreeSet<String>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Takes in the secrets of one account and Region.
    pub fn learn(&self, listed: Vec<ListedSecret>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for ListedSecret { name, arn, tags } in listed {
            // The listing says which name belongs to the ARN, so nothing needs to be cut off a guess.
            let owner = Secret::written(&arn, "", "");
            let value = |wanted: &String| tags.iter().find(|(tag, _)| tag == wanted).map(|(_, value)| value.clone());
            let tags = self.wanted.iter().map(|wanted| (wanted.clone(), value(wanted))).collect();
            known.insert((owner.account, owner.region, name), Known { arn, tags });
        }
    }

    /// Adds the secret's ARN, if the record gives none, and its tags; and warns once of a spelling that counts apart from
    /// the secret that it means.
    pub fn annotate(&self, access: &mut Access) {
        let Some(secret) = &mut access.secret else { return };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = (secret.account.clone(), secret.region.clone(), secret.name.clone());
        if let Some(Known { arn, tags }) = known.get(&identity) {
            secret.arn.get_or_insert_with(|| arn.clone());
            secret.tags = (!tags.is_empty()).then(|| tags.clone());
            return;
        }
        // A partial ARN whose name happens to end like a suffix has lost a piece of the name.
        let uncut = secret.requested.as_deref().and_then(|text| text.split_once(":secret:")).map(|(_, name)| name);
        let Some(uncut) = uncut else { return };
        let meant = (identity.0, identity.1, uncut.to_owned());
        if let Some(Known { arn, .. }) = known.get(&meant)
            && self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(uncut.to_owned())
        {
            tracing::warn!(
                requested = secret.requested,
                counted_as = secret.name,
                secret = arn,
                "a partial arn counts as another secret than it means"
            );
        }
    }
}
