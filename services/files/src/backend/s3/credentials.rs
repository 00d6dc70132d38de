//! The key of a bucket: given, or in a file that is read again when it changes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::client::{CredentialProvider, StaticCredentialProvider};
use weft_runtime::lock;

use crate::error::Error;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum S3Credentials {
    Keys(S3Keys),
    /// In the form of AWS's file of credentials: of lines `name = value` those before a second section.
    File(PathBuf),
}

#[derive(Clone, PartialEq, Eq)]
pub struct S3Keys {
    pub id: String,
    pub secret: String,
    /// Of a key that ends by itself.
    pub token: Option<String>,
}

impl fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl S3Keys {
    /// Reads AWS's file of credentials: its first section.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (mut id, mut secret, mut token, mut sections) = (None, None, None, 0);
        for line in text.lines().map(str::trim) {
            sections += usize::from(line.starts_with('['));
            let Some((name, value)) = line.split_once('=').filter(|_| sections < 2) else {
                continue;
            };
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
        Some(Self { id: id?, secret: secret?, token })
    }

    fn into_credential(self) -> AwsCredential {
        let Self { id, secret, token } = self;
        AwsCredential { key_id: id, secret_key: secret, token }
    }
}

impl S3Credentials {
    pub(super) fn provider(&self) -> Result<AwsCredentialProvider, Error> {
        match self {
            Self::Keys(keys) => {
                Ok(Arc::new(StaticCredentialProvider::new(keys.clone().into_credential())))
            }
            Self::File(path) => {
                let kept = KeyFile { path: path.clone(), kept: Mutex::default() };
                kept.read().map_err(|error| Error::StorageRefused(error.to_string()))?;
                Ok(Arc::new(kept))
            }
        }
    }
}

/// A file with a key.
struct KeyFile {
    path: PathBuf,
    /// What it said when it was changed last.
    kept: Mutex<Option<(SystemTime, Arc<AwsCredential>)>>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({})", self.path.display())
    }
}

fn failed(path: &Path, why: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("the key in {}: {why}", path.display()))
}

impl KeyFile {
    fn read(&self) -> io::Result<Arc<AwsCredential>> {
        let changed = std::fs::metadata(&self.path).and_then(|found| found.modified());
        let changed = changed.map_err(|error| failed(&self.path, &error))?;
        let mut kept = lock(&self.kept);
        if let Some((_, credential)) = kept.as_ref().filter(|(read, _)| *read == changed) {
            return Ok(Arc::clone(credential));
        }
        let text = std::fs::read_to_string(&self.path);
        let keys = S3Keys::read(&text.map_err(|error| failed(&self.path, &error))?);
        let wanted = "it needs lines aws_access_key_id = … and aws_secret_access_key = …";
        let keys = keys.ok_or_else(|| failed(&self.path, &wanted))?;
        let credential = Arc::new(keys.into_credential());
        *kept = Some((changed, Arc::clone(&credential)));
        Ok(credential)
    }
}

#[async_trait::async_trait]
impl CredentialProvider for KeyFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // One look at a small file of the local disk.
        self.read()
            .map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, secret: &str, token: Option<&str>) -> S3Keys {
        S3Keys { id: id.into(), secret: secret.into(), token: token.map(str::to_owned) }
    }

    #[test]
    fn a_file_of_aws_is_read() {
        let text = "# mine\n[default]\naws_access_key_id = AK\naws_secret_access_key=a/b+c=\n\n\
                    [other]\naws_access_key_id = B\naws_session_token = t\n";
        assert_eq!(S3Keys::read(text), Some(keys("AK", "a/b+c=", None)));
        let text = "aws_access_key_id=AK\naws_secret_access_key=s\naws_session_token = t";
        assert_eq!(S3Keys::read(text), Some(keys("AK", "s", Some("t"))));
        for text in ["", "aws_access_key_id = AK", "[default]\naws_secret_access_key = s\n"] {
            assert_eq!(S3Keys::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_read_again_when_its_file_changes_and_is_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let write = |secret: &str, age_s: u64| {
            let text = format!("aws_access_key_id = AK\naws_secret_access_key = {secret}\n");
            std::fs::write(&path, text).expect("written");
            let file = std::fs::File::options().write(true).open(&path).expect("opened");
            let changed = SystemTime::now() - std::time::Duration::from_secs(age_s);
            file.set_modified(changed).expect("made old");
        };
        write("first-secret", 100);
        let credentials = S3Credentials::File(path.clone());
        let file = KeyFile { path: path.clone(), kept: Mutex::default() };
        assert_eq!(file.read().expect("read").secret_key, "first-secret");
        write("second-secret", 50);
        assert_eq!(file.read().expect("read").secret_key, "second-secret");
        std::fs::write(&path, "nothing").expect("written");
        let error = file.read().expect_err("no key").to_string();
        assert!(error.contains("aws_access_key_id"), "{error}");
        let error = credentials.provider().expect_err("no key").to_string();
        let given = S3Credentials::Keys(keys("AK", "first-secret", Some("token")));
        for shown in [format!("{file:?}"), format!("{given:?}"), error] {
            assert!(!shown.contains("secret-") && !shown.contains("-secret"), "{shown}");
        }
    }
}
