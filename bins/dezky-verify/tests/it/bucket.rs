#[cfg(not(feature = "s3"))]
#[test]
fn a_build_without_buckets_says_so() {
    let output = crate::run(["archive", "s3://bucket/prefix"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot read s3://bucket/prefix") && text.contains("--features s3"), "{text}");
}

#[cfg(feature = "s3")]
mod with_buckets {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Output};

    use dezky_testkit::archive;
    use dezky_testkit::log::ScratchLog;
    use dezky_testkit::s3_server::{self, S3Server};

    /// Puts every file of a folder into a bucket, in place of what is there.
    const UPLOAD: &str = r"
import os
for listed in s3.list_objects_v2(Bucket=argv[0]).get('Contents', []):
    s3.delete_object(Bucket=argv[0], Key=listed['Key'])
for folder, _, names in os.walk(argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        s3.put_object(Bucket=argv[0], Key='audit/log/' + os.path.relpath(path, argv[1]), Body=open(path, 'rb').read())";

    /// As an auditor who may read and list.
    fn verify(server: &S3Server, place: &str, vkey: &str) -> Output {
        let (access_key, secret_key) = server.reader();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dezky-verify"));
        command.args(["archive", place, "--key", vkey, "--json"]).env_remove("DEZKY_VERIFY_KEYS").env_remove("AWS_PROFILE");
        command.env("AWS_ACCESS_KEY_ID", access_key).env("AWS_SECRET_ACCESS_KEY", secret_key);
        command.env("AWS_ENDPOINT_URL", &server.endpoint).env("AWS_REGION", "us-east-1");
        command.output().unwrap()
    }

    /// The report over the bucket, which must be that over the folder; its exit code, and the kinds of its findings.
    fn same_report(server: &S3Server, bucket: &str, dir: &Path, vkey: &str) -> (i32, Vec<String>) {
        server.boto3(UPLOAD, &[bucket, dir.to_str().unwrap()]);
        let (of_bucket, of_folder) =
            (verify(server, &format!("s3://{bucket}/audit/log"), vkey), verify(server, dir.to_str().unwrap(), vkey));
        let read = |output: &Output| -> serde_json::Value {
            let mut report: serde_json::Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
            report["freshness"]["ageSeconds"].take();
            report
        };
        let report = read(&of_bucket);
        assert_eq!(report, read(&of_folder));
        let kinds = report["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap().to_owned());
        (of_bucket.status.code().unwrap(), kinds.collect())
    }

    #[test]
    fn an_archive_in_a_bucket_is_judged_as_in_a_folder() {
        let (server, dir) = (s3_server::shared(), tempfile::tempdir().unwrap());
        let bucket = server.new_bucket(false);
        let mut log = ScratchLog::new(1);
        archive::write(dir.path(), &mut log, 60, 20);
        let vkey = log.vkey();
        let check = || same_report(&server, &bucket, dir.path(), &vkey);
        let object = |kind: &str, start: u64| {
            let ending = if kind == "events" { "jsonl.gz" } else { "manifest.json" };
            dir.path().join(format!("{kind}/{start:020}-{:020}.{ending}", start + 19))
        };
        assert_eq!(check(), (0, vec![]));
        // An object more, an object less, two that changed places, one that goes on.
        let (first, second) = (object("events", 1), object("events", 21));
        let (whole, other) = (fs::read(&first).unwrap(), fs::read(&second).unwrap());
        fs::write(dir.path().join("events/stranger"), "x").unwrap();
        assert_eq!(check(), (1, vec!["archive-object-unexpected".to_owned()]));
        fs::remove_file(dir.path().join("events/stranger")).unwrap();
        fs::remove_file(&first).unwrap();
        assert_eq!(check(), (3, vec!["archive-object-missing".to_owned()]));
        fs::write(&first, &other).unwrap();
        fs::write(&second, &whole).unwrap();
        let (code, kinds) = check();
        assert!(code == 1 && kinds.iter().any(|kind| kind == "archive-digest-mismatch"), "{code}: {kinds:?}");
        fs::write(&first, [&*whole, b"more"].concat()).unwrap();
        fs::write(&second, &other).unwrap();
        assert_eq!(check().0, 1);
        fs::write(&first, &whole).unwrap();
        fs::remove_file(object("events", 21)).unwrap();
        fs::remove_file(object("manifests", 21)).unwrap();
        assert_eq!(check(), (3, vec!["archive-gap".to_owned()]));
    }

    #[test]
    fn what_cannot_be_read_is_no_verdict() {
        let (server, key) = (s3_server::shared(), ScratchLog::new(1).vkey());
        let bucket = server.new_bucket(false);
        let nobody = S3Server { endpoint: "http://127.0.0.1:1".to_owned(), ..server.clone() };
        for (server, place, says) in [
            (&server, "s3://not-there/audit".to_owned(), "there is no bucket 'not-there'"),
            (&server, format!("s3://{bucket}/audit"), "holds no archive"),
            (&server, "s3://".to_owned(), "named by its name"),
            (&nobody, format!("s3://{bucket}"), "cannot be reached"),
        ] {
            let output = verify(server, &place, &key);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(text.contains(says), "{text}");
        }
    }
}
