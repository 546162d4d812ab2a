from mongod import free_port


def test_a_service_with_its_database_is_healthy(client):
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json == {"status": "healthy", "database": "connected"}


def test_a_service_without_its_database_is_unhealthy(make_app):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    response = make_app(MONGO_URI=uri, DATABASE_TIMEOUT_MS=200).test_client().get("/health")
    assert response.status_code == 503
    assert response.content_type == "application/json"
    assert response.json == {"status": "unhealthy", "database": "unreachable"}


def test_a_process_without_its_database_is_alive(make_app):
    uri = f"mongodb://127.0.0.1:{free_port()}/pixora"
    response = make_app(MONGO_URI=uri, DATABASE_TIMEOUT_MS=200).test_client().get("/health/live")
    assert response.status_code == 200
    assert response.json == {"status": "alive"}
