//! How the command line reaches a running companion.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::random_id;

/// The file in the data directory.
const FILE: &str = "admin.json";

/// The largest answer: a full listing.
const MAX_ANSWER_BYTES: usize = 64 << 20;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a running companion listens, and the token that admits an operator.
#[derive(Serialize, Deserialize)]
pub struct Door {
    address: SocketAddr,
    token: String,
    /// The Valkey server that holds the labels; absent: the data directory does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valkey: Option<String>,
}

/// Why a running companion could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// No or another file.
    #[error("cannot read `{path}`, which a running companion leaves in its data directory")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("the companion at {0} does not answer")]
    Unreachable(SocketAddr),
    /// It answered with an error.
    #[error("the companion refused: {0}")]
    Refused(String),
    /// Another generation of the program.
    #[error("the companion's answer is not what this build expects")]
    Answer(#[from] serde_json::Error),
}

impl Door {
    /// Where the file is.
    pub fn path(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Draws a token and leaves it for the operator; returns it.
    pub(crate) fn write(data: &Path, listens: SocketAddr, valkey: Option<&str>) -> std::io::Result<String> {
        // Whoever reads the file is on this machine.
        let ip = match listens.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let door = Self {
            address: SocketAddr::new(ip, listens.port()),
            token: random_id().map_err(std::io::Error::other)?,
            valkey: valkey.map(str::to_owned),
        };
        let (path, fresh) = (Self::path(data), data.join(format!("{FILE}.new")));
        // A new file, so that its mode is ours whatever stood there.
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(&door)?)?;
        std::fs::rename(fresh, path)?;
        Ok(door.token)
    }

    /// Finds the companion that runs over this data directory.
    pub fn read(data: &Path) -> Result<Self, DoorError> {
        let path = Self::path(data);
        let read = std::fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        read.map_err(|source| DoorError::Read { path, source })
    }

    /// Whether labels are elsewhere than in the data directory, so that only a running companion reaches them.
    pub fn is_elsewhere(&self) -> bool {
        self.valkey.is_some()
    }

    /// Asks it.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> Result<T, DoorError> {
        let unreachable = || DoorError::Unreachable(self.address);
        let request = Request::post(format!("http://{}{path}", self.address))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(serde_json::to_vec(question)?)))
            .map_err(|_| unreachable())?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = async {
            let (head, body) = client.request(request).await.ok()?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES)
                .collect()
                .await
                .ok()?
                .to_bytes();
            Some((head.status, body))
        };
        let (status, body) = tokio::time::timeout(TIMEOUT, answer)
            .await
            .ok()
            .flatten()
            .ok_or_else(unreachable)?;
        if status.is_success() {
            return Ok(serde_json::from_slice(&body)?);
        }
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = error["error"]["message"].as_str().map(str::to_owned);
        Err(DoorError::Refused(message.unwrap_or_else(|| status.to_string())))
    }
}
