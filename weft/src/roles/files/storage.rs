//! Where the bytes of files are.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use weft_files::{BackendPlace, S3Credentials, S3Keys, S3Options};

use crate::error::Error;

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// Below the folder of --data.
    Folder,
    /// The bucket WEFT_FILES of JetStream, which core makes: see its --files-stream-bytes.
    Jetstream,
    /// A bucket of an S3-compatible storage.
    S3,
}

/// The storage of finished files.
#[derive(Args, Clone, Debug)]
pub struct Storage {
    /// Where the bytes of finished files are. Uploads that are not finished are always in --data.
    #[arg(long, env = "WEFT_FILES_BACKEND", value_enum, default_value = "folder")]
    pub backend: Backend,
    /// The server of the bucket, as https://s3.example.org; by default AWS.
    #[arg(long, value_name = "URL", env = "WEFT_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,
    #[arg(long, value_name = "NAME", env = "WEFT_S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    /// The bucket. It has to be there.
    #[arg(long, value_name = "NAME", env = "WEFT_S3_BUCKET", required_if_eq("backend", "s3"))]
    pub s3_bucket: Option<String>,
    /// Before the name of each object, where the bucket has others, too.
    #[arg(long, value_name = "TEXT", env = "WEFT_S3_PREFIX", default_value = "")]
    pub s3_prefix: String,
    /// Speak to the bucket without TLS, where its address is http://. The bytes of files can be read on the way then.
    #[arg(long, env = "WEFT_S3_ALLOW_HTTP")]
    pub s3_allow_http: bool,
    /// A file with the bucket's key, in the form of ~/.aws/credentials; it is read again when it changes. Without it
    /// the key is in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN).
    #[arg(long, value_name = "FILE", env = "WEFT_S3_CREDENTIALS")]
    pub s3_credentials: Option<PathBuf>,
}

impl Storage {
    /// As the node is to be told.
    pub fn place(&self) -> Result<BackendPlace, Error> {
        match self.backend {
            Backend::Folder => Ok(BackendPlace::Folder),
            Backend::Jetstream => Ok(BackendPlace::JetStream),
            Backend::S3 => Ok(BackendPlace::S3(self.s3(|name| std::env::var(name).ok())?)),
        }
    }

    fn s3(&self, variable: impl Fn(&str) -> Option<String>) -> Result<S3Options, Error> {
        let failed = |why: &str| Error::Failed(why.to_owned());
        let endpoint = self.s3_endpoint.clone().filter(|url| !url.is_empty());
        match endpoint.as_deref().and_then(|url| url.split_once("://")) {
            Some(("http", _)) if !self.s3_allow_http => {
                let why =
                    "the address of the bucket is http://: say --s3-allow-http, or use https://";
                return Err(failed(why));
            }
            None if endpoint.is_some() => {
                return Err(failed("the address of the bucket begins with https:// or http://"));
            }
            _ => {}
        }
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let credentials = match (&self.s3_credentials, set(KEY_ID), set(SECRET)) {
            (Some(file), _, _) => S3Credentials::File(file.clone()),
            (None, Some(id), Some(secret)) => {
                S3Credentials::Keys(S3Keys { id, secret, token: set(TOKEN) })
            }
            _ => {
                let why = format!(
                    "the bucket has a key: set {KEY_ID} and {SECRET}, or name a file by --s3-credentials"
                );
                return Err(failed(&why));
            }
        };
        Ok(S3Options {
            endpoint,
            region: self.s3_region.clone(),
            bucket: self.s3_bucket.clone().unwrap_or_default(),
            prefix: self.s3_prefix.clone(),
            allows_http: self.s3_allow_http,
            credentials,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        storage: Storage,
    }

    fn s3(args: &[&str], key: bool) -> Result<S3Options, String> {
        let line = ["weft", "--backend", "s3", "--s3-bucket", "files"].iter().chain(args);
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        let variable = |name: &str| Some(name.to_lowercase()).filter(|_| key);
        line.storage.s3(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bucket_has_a_key_and_is_spoken_to_by_tls_where_nothing_else_is_said() {
        let options = s3(&["--s3-endpoint", "https://s3.example.org"], true).expect("options");
        let keys = S3Keys {
            id: "aws_access_key_id".into(),
            secret: "aws_secret_access_key".into(),
            token: Some("aws_session_token".into()),
        };
        assert_eq!(options.credentials, S3Credentials::Keys(keys));
        assert!(!options.allows_http);
        let options = s3(&["--s3-credentials", "key"], false).expect("options");
        assert_eq!(options.credentials, S3Credentials::File("key".into()));
        assert!(s3(&["--s3-endpoint", "http://s3", "--s3-allow-http"], true).is_ok());
        for (args, key, why) in [
            (&["--s3-endpoint", "http://s3"][..], true, "--s3-allow-http"),
            (&["--s3-endpoint", "s3.example.org"], true, "https://"),
            (&[], false, KEY_ID),
        ] {
            let error = s3(args, key).expect_err("refused");
            assert!(error.contains(why), "{error}");
        }
        assert!(Line::try_parse_from(["weft", "--backend", "s3"]).is_err(), "no bucket");
    }
}
