use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output};

use dezky_testkit::mongo_server::{self, MongoServer};
use dezky_testkit::s3_server;
use serde_json::json;

use crate::docker::Docker;

/// Whether nobody listens there. Who connects to such a port of this machine may reach itself.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn a_server_of_ones_own_stops_and_comes_back_on_its_port() {
    let mut server = MongoServer::start();
    assert!(server.uri().contains(&format!("127.0.0.1:{}/", server.port())));
    for _ in 0..2 {
        server.stop();
        assert!(is_free(server.port()));
        server.resume();
        TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    }
}

#[test]
fn a_shared_database_is_one_for_the_process() {
    assert_eq!(mongo_server::shared_uri(), mongo_server::shared_uri());
}

#[test]
fn a_shared_bucket_server_is_one_for_the_process() {
    assert_eq!(s3_server::shared().endpoint, s3_server::shared().endpoint);
}

/// One of the tests above in a process that is asked to use containers of this Docker, whatever this one uses.
fn in_containers(test: &str, docker: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    for name in ["DEZKY_TEST_MONGODB_URI", "DEZKY_TEST_MONGO_SERVER", "DEZKY_TEST_S3_ENDPOINT", "TESTCONTAINERS_COMMAND"] {
        child.env_remove(name);
    }
    child.args(["--exact", &format!("servers::{test}")]).env("DEZKY_TEST_CONTAINERS", "1").env("DOCKER_HOST", docker);
    child.output().unwrap()
}

#[test]
fn containers_without_docker_end_the_test_and_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("docker.sock").display());
    for (test, image) in [
        ("a_server_of_ones_own_stops_and_comes_back_on_its_port", "mongo:8"),
        ("a_shared_database_is_one_for_the_process", "mongo:8"),
        ("a_shared_bucket_server_is_one_for_the_process", "minio/minio:RELEASE.2025-09-07T16-13-09Z"),
    ] {
        let output = in_containers(test, &socket);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{said}");
        for part in [&format!("asks for {image} in a container"), &socket, "Start Docker", "unset DEZKY_TEST_CONTAINERS"] {
            assert!(said.contains(part), "'{part}' is not in: {said}");
        }
    }
}

#[test]
fn containers_are_started_stopped_and_removed() {
    let docker = Docker::start();
    let output = in_containers("a_server_of_ones_own_stops_and_comes_back_on_its_port", &docker.host());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let made = docker.removed();
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].image.as_str(), made[0].starts, made[0].stops), ("mongo:8", 3, 2));
    assert_eq!(made[0].body["Cmd"], json!(["mongod", "--replSet", "rs0", "--bind_ip_all"]));
    assert_eq!(made[0].body["HostConfig"]["PortBindings"]["27017/tcp"][0]["HostIp"], "127.0.0.1");
    // A replica set is asked for at each start.
    assert_eq!(made[0].commands.len(), 3);
    assert!(
        made[0].commands.iter().all(|command| command[0] == "mongosh" && command[3].as_str().unwrap().contains("rs.initiate"))
    );
}

#[test]
fn shared_containers_end_with_the_process() {
    for (test, image) in [
        ("a_shared_database_is_one_for_the_process", "mongo:8"),
        ("a_shared_bucket_server_is_one_for_the_process", "minio/minio:RELEASE.2025-09-07T16-13-09Z"),
    ] {
        let docker = Docker::start();
        let output = in_containers(test, &docker.host());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let made = docker.removed();
        assert_eq!(made.len(), 1);
        assert_eq!((made[0].image.as_str(), made[0].starts, made[0].stops), (image, 1, 0));
        if image.starts_with("minio") {
            for variable in ["MINIO_ROOT_USER=dezky-owner", "MINIO_ROOT_PASSWORD=owner-secret"] {
                assert!(made[0].body["Env"].as_array().unwrap().contains(&json!(variable)), "{}", made[0].body);
            }
            assert_eq!(made[0].body["HostConfig"]["PortBindings"]["9000/tcp"][0]["HostIp"], "127.0.0.1");
        }
    }
}
