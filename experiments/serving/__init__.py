"""Serving an exported model with the official TensorFlow Serving image: its configuration, and clients to copy.

    EXPORT_DIR=$PWD/runs/criteo/ada_ensemble/export docker compose -f experiments/serving/docker-compose.yml up
    .venv/bin/python -m experiments.serving.rest_client --export_dir=runs/criteo/ada_ensemble/export/1
    .venv/bin/python -m experiments.serving.grpc_client --export_dir=runs/criteo/ada_ensemble/export/1

The clients send the golden rows that export left in the folder and check that the server returns their scores.
"""
