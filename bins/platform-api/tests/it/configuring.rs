use std::path::Path;

use crate::program::{program, run};

#[test]
fn help_lists_every_setting_with_its_three_names() {
    let (ok, help, _) = run(program().args(["serve", "--help"]));
    assert!(ok);
    insta::assert_snapshot!(help);
}

#[test]
fn check_config_shows_each_setting_and_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    std::fs::write(&file, "data_dir = 'data'\n[http]\nrequests = 64\n").unwrap();
    let mut command = program();
    command.args(["check-config", "--listen", "0.0.0.0:80", "--config"]).arg(&file);
    command.env("AUDIT_LOG_ORIGIN", "audit.example.eu/main").env("AUDIT_SIGNING_KEY", "x".repeat(32)).env("AUDIT_LISTN", "y");
    let (ok, shown, _) = run(&mut command);
    assert!(ok);
    insta::assert_snapshot!(shown.replace(file.to_str().unwrap(), "settings.toml"));
    // A file may be named by a variable too.
    let (ok, again, _) = run(program().arg("check-config").env("AUDIT_CONFIG", &file));
    assert!(ok && again.contains("http.requests = \"64\""));
}

#[test]
fn what_cannot_be_understood_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = dir.path().join("settings.toml");
        std::fs::write(&path, text).unwrap();
        path
    };
    let refused = |path: &Path| {
        let (ok, stdout, stderr) = run(program().args(["check-config", "--config"]).arg(path));
        assert!(!ok && stdout.is_empty());
        stderr.replace(dir.path().to_str().unwrap(), "DIR")
    };
    let mut all = String::new();
    for text in ["[http]\nrequest = 7\n", "listen = 'here'\n", "listen = 7.5\n", "listen = \n", "[spool]\nlimit = '1 GB'\n"] {
        all.push_str(&refused(&file(text)));
    }
    all.push_str(&refused(&dir.path().join("missing.toml")));
    for (name, value) in [
        ("AUDIT_HTTP_DRAIN_TIME", "soon"),
        ("AUDIT_SIGNING_KEY", "short"),
        ("AUDIT_LOG_ORIGIN", "Not An Origin"),
        ("AUDIT_TRACE_FILTER", "a=b=c"),
    ] {
        all.push_str(&run(program().arg("check-config").env(name, value)).2);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_wrong_flag_is_refused_with_the_nearest() {
    let (ok, _, stderr) = run(program().args(["serve", "--data-dri", "x"]));
    assert!(!ok && stderr.contains("--data-dir"), "{stderr}");
}
