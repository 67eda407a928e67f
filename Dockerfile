# tectum's image. Build: docker build -t tectum .   For another processor: --build-arg CPU=cortex-a76
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS builder
# The kernels are compiled here, for this LLVM processor name: the oldest one that will run the image.
ARG CPU=x86-64-v3
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    NUMBA_CPU_NAME=${CPU} \
    NUMBA_CPU_FEATURES="" \
    NUMBA_CACHE_DIR=/opt/tectum/kernels
WORKDIR /opt/tectum
COPY requirements/run.txt requirements/run.txt
RUN python -m venv venv \
    && venv/bin/pip install --require-hashes --only-binary=:all: -r requirements/run.txt
COPY LICENSE pyproject.toml ./
COPY actuators actuators
COPY deploy deploy
COPY nets nets
COPY runtime runtime
COPY sensors sensors
RUN echo /opt/tectum > "$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tectum.pth" \
    && printf '#!/bin/sh\nexec /opt/tectum/venv/bin/python -m runtime "$@"\n' > venv/bin/tectum \
    && chmod 755 venv/bin/tectum \
    && venv/bin/python -m compileall -q actuators nets runtime sensors \
    && venv/bin/python -c 'from nets.kernels.build import warm; warm(lambda step, done: print(f"{done:4.0%} {step}", flush=True))'

FROM python:${PYTHON}
ARG CPU=x86-64-v3
LABEL org.opencontainers.image.title="tectum" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/tectum/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME=${CPU} \
    NUMBA_CPU_FEATURES="" \
    NUMBA_CACHE_DIR=/opt/tectum/kernels \
    TECTUM_RUNTIME_DIR=/run/tectum \
    XDG_STATE_HOME=/var/lib/tectum \
    TECTUM__RECORDING__FOLDER=/var/lib/tectum/recordings
RUN groupadd --gid 10001 tectum \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tectum --shell /usr/sbin/nologin tectum \
    && install --directory --owner=10001 --group=10001 --mode=0700 /run/tectum /var/lib/tectum
COPY --from=builder /opt/tectum /opt/tectum
# Numba uses a cache only where it could write to it.
RUN chown -R 10001:10001 /opt/tectum/kernels
USER 10001:10001
WORKDIR /var/lib/tectum
# The e-stop latch and recordings outlive the container; the rest of the file system may be read-only.
VOLUME ["/var/lib/tectum", "/opt/tectum/kernels"]
EXPOSE 8642
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["tectum", "health"]
ENTRYPOINT ["tectum"]
CMD ["run"]
