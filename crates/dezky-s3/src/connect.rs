//! From settings to a client of the SDK.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::Duration;

use crate::settings::Settings;

/// AWS's oldest, and the one that other servers take for theirs.
const REGION: &str = "us-east-1";
const CONNECT: Duration = Duration::from_secs(10);
/// Before the second attempt; doubled before each further one.
const BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// A client, and where it will go, for people.
pub(crate) async fn connect(settings: &Settings) -> (Client, String) {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let builder = match &settings.credentials {
        Some(given) => {
            let region = settings.region.clone().unwrap_or_else(|| REGION.to_owned());
            Builder::new()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(region))
                .http_client(http)
                .credentials_provider(Credentials::new(&given.access_key, &given.secret_key, None, None, "settings"))
        }
        None => from_environment(settings, http).await,
    };
    let builder = match &settings.endpoint {
        Some(endpoint) => builder.endpoint_url(endpoint),
        None => builder,
    };
    let config = builder
        .force_path_style(true)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(settings.attempts.max(1))
                .with_initial_backoff(BACKOFF)
                .with_max_backoff(MAX_BACKOFF),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT.min(settings.timeout))
                .read_timeout(settings.timeout)
                .operation_attempt_timeout(settings.timeout)
                .build(),
        )
        // Content goes out under the SHA-256 that its writer knows, and comes back to readers who know it too.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // Both ways have limits of their own; a reader that takes its time is no fault of the server's.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    let place = settings.endpoint.clone().or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok());
    let place = place.or_else(|| std::env::var("AWS_ENDPOINT_URL").ok()).unwrap_or_else(|| "AWS".to_owned());
    (Client::from_conf(config), place)
}

async fn from_environment(settings: &Settings, http: SharedHttpClient) -> Builder {
    // The machine's metadata are not asked: a server that is none of AWS's needs no region, and would wait for them.
    let region = RegionProviderChain::first_try(settings.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(REGION);
    let shared = aws_config::defaults(BehaviorVersion::latest()).http_client(http).region(region).load().await;
    Builder::from(&shared)
}
