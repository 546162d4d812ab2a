"""MONGO_URI: what no client can use is refused, without a connection and without a look-up."""

import pytest

from tests.configuration.conftest import GOOD


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "localhost:27017/pixora",
            "mongodb://",
            "mongodb://localhost",
            "mongodb://localhost/",
            "postgres://host/pixora",
        ),
        *("mongodb://user:p@ss/word@host/pixora", "mongodb://user:p%zz@host/pixora", "mongodb://host:port/pixora"),
        "mongodb://a,b/pixora?directConnection=true",
        "mongodb://host/pixora?tls=true&tlsCAFile=/nowhere/ca.pem",
        *(
            f"mongodb://host/pixora?{options}"
            for options in (
                *("readConcernLevel=bogus", "readConcernLevel=linearizable", "minPoolSize=10&maxPoolSize=5"),
                *("heartbeatFrequencyMS=100", "maxStalenessSeconds=5", "readPreferenceTags=a:b", "journal=true&w=0"),
                *("authMechanism=GSSAPI", "server_api=1", "driver=x", "datetime_conversion=x"),
            )
        ),
        *(
            f"mongodb://host/{database}"
            for database in ("x" * 64, "ä" * 32, "%00", "a%0Ab", "a.b", "a%20b", "a$b", "a%2Fb", "local")
        ),
        *(
            f"mongodb://{host}/pixora"
            for host in ("a..b", "a b", "a" * 64, ":27017", "[::g]", "[::1", "a,b..c", "host:0", "host:70000", "%zz")
        ),
        "mongodb+srv://a.example.com:27017/pixora",
        "mongodb+srv://a.example.com,b.example.com/pixora",
        "mongodb+srv://a..example.com/pixora",
        "mongodb+srv://a.example.com/pixora?heartbeatFrequencyMS=100",
    ],
)
def test_a_uri_that_no_client_can_use_is_refused(faults, uri):
    assert set(faults(**GOOD | {"MONGO_URI": uri})) == {"MONGO_URI"}


def test_an_option_that_cannot_be_is_named(faults):
    [sentence] = faults(**GOOD | {"MONGO_URI": "mongodb://host/pixora?heartbeatFrequencyMS=100"})["MONGO_URI"]
    assert "heartbeatFrequencyMS" in sentence


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://user:hunter2@x/y@host/db",
        "mongodb+srv://user:%zzhunter2@host/db",
        "mongodb://user:hunter2@[::1/db",
        "mongodb://user:hunter2@host/db?heartbeatFrequencyMS=1",
        "mongodb://user:hunter2@a..b/db",
    ],
)
def test_a_password_in_a_faulty_uri_is_not_quoted(faults, uri):
    assert "hunter2" not in str(faults(**GOOD | {"MONGO_URI": uri}))


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb+srv://user:p%40ss@cluster0.abcde.mongodb.net/pixora?retryWrites=true&w=majority",
        "mongodb://a.example.com:27017,b.example.com:27017/pixora?replicaSet=rs0",
        "mongodb://localhost/pixora",
        "mongodb://[::1]:27017,192.0.2.1,my_host,bücher.example/" + "x" * 63,
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/pixora",
        "mongodb://localhost/pixora?readConcernLevel=majority&readPreference=secondary&maxStalenessSeconds=90",
        "mongodb://localhost/pixora?compressors=zstd,snappy",
    ],
)
def test_any_other_with_a_database_is_taken(load, uri):
    assert load(**GOOD | {"MONGO_URI": uri}).mongo_uri == uri
