//! `devices` and `logout`: where a user is logged in, and the end of that.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{PushShown, Reply, Request};
use crate::error::ApiError;
use crate::ids::DeviceId;
use crate::json::read_object;
use crate::svc;

/// A device on which the user is logged in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DeviceShown {
    pub device: String,
    /// When it logged in, Unix milliseconds.
    login_at: u64,
    /// When it last got new tokens, Unix milliseconds.
    refreshed_at: u64,
    /// It is the one that asks.
    is_own: bool,
    /// How it is notified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PushShown>,
}

pub(super) fn read_logout(text: &str) -> Result<Request, ApiError> {
    #[derive(Deserialize)]
    struct Logout<'a> {
        #[serde(borrow)]
        device: Option<Cow<'a, str>>,
    }
    let Logout { device } = read_object(text)?;
    Ok(Request::Logout { device: device.map(|device| DeviceId::new(&device)).transpose()? })
}

impl Reply {
    /// The answer to `devices`.
    #[must_use]
    pub fn devices(list: svc::Devices) -> Self {
        Self::Devices { devices: list.devices.into_iter().map(Into::into).collect() }
    }
}

impl From<svc::LoggedInDevice> for DeviceShown {
    fn from(it: svc::LoggedInDevice) -> Self {
        Self {
            device: it.device,
            login_at: it.login_ms,
            refreshed_at: it.refreshed_ms,
            is_own: it.is_own,
            push: it.push.map(Into::into),
        }
    }
}
