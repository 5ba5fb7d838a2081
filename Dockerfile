# A machine that prepares, trains, evaluates and exports:
#
#   docker build -t ada-ensemble .
#   docker run --rm -v $PWD:/work ada-ensemble prepare --dataset=criteo --raw=train.txt --data_dir=runs/criteo/data
#   docker run --rm -v $PWD:/work ada-ensemble train --config=criteo:dcn_v2 --data_dir=runs/criteo/data --workdir=runs/criteo/dcn_v2
#
# With GPUs: docker build --build-arg EXTRAS=train,tune,serving,gpu -t ada-ensemble . and docker run --gpus=all.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
ARG EXTRAS=train,tune,serving
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY ada_ensemble_tf ada_ensemble_tf
COPY data_pipelines data_pipelines
RUN pip install --no-cache-dir ".[${EXTRAS}]" && rm -rf /source
# Whoever runs it owns what it writes: docker run --user $(id -u):$(id -g).
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
ENTRYPOINT ["ada-ensemble"]
CMD ["--help"]
