//! The secrets that exist, as ListSecrets tells them. They only annotate: what an access counts as was settled by its
//! record, so that an inventory that is late, refused or wrong can never change a count.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::aws::ListedSecret;
use crate::model::{Access, Secret};

/// Account, Region and name: what identifies a secret.
type Identity = (String, String, String);

/// What is known of the secrets of all sources.
#[derive(Debug, Default)]
pub struct Inventory {
    arns: Mutex<HashMap<Identity, String>>,
    /// Spellings that were warned about.
    warned: Mutex<HashSet<String>>,
}

impl Inventory {
    /// Takes in the secrets of one account and Region.
    pub fn learn(&self, listed: Vec<ListedSecret>) {
        let mut arns = self.arns.lock().unwrap_or_else(PoisonError::into_inner);
        for ListedSecret { name, arn } in listed {
            // The listing says which name belongs to the ARN, so nothing needs to be cut off a guess.
            let owner = Secret::written(&arn, "", "");
            arns.insert((owner.account, owner.region, name), arn);
        }
    }

    /// Adds the secret's ARN, if the record gives none, and warns once of a spelling that counts apart from the secret
    /// that it means.
    pub fn annotate(&self, access: &mut Access) {
        let Some(secret) = &mut access.secret else { return };
        let arns = self.arns.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = (secret.account.clone(), secret.region.clone(), secret.name.clone());
        if let Some(arn) = arns.get(&identity) {
            secret.arn.get_or_insert_with(|| arn.clone());
            return;
        }
        // A partial ARN whose name happens to end like a suffix has lost a piece of the name.
        let uncut = secret.requested.as_deref().and_then(|text| text.split_once(":secret:")).map(|(_, name)| name);
        let Some(uncut) = uncut else { return };
        let meant = (identity.0, identity.1, uncut.to_owned());
        if let Some(arn) = arns.get(&meant)
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
