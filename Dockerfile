# The application: docs/deployment.md. The image has no compiler, no cache and no root.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm
ARG EXTRAS=app,markets,plot,postgres
# Package index to take torch from; pip's own has the CUDA build, several gigabytes.
ARG TORCH_INDEX
RUN groupadd --gid 10001 kronos \
    && useradd --uid 10001 --gid kronos --home-dir /data --no-create-home kronos \
    && install --directory --owner=kronos --group=kronos /data
COPY --from=build /source/constraints.txt /wheels/
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
    --constraint /wheels/constraints.txt torch
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt \
    "kronos-fan[$EXTRAS] @ file://$(echo /wheels/*.whl)"

ENV HOME=/data XDG_DATA_HOME=/data XDG_CACHE_HOME=/data/cache HF_HOME=/data/cache/hub \
    KRONOS_PUBLIC=true STREAMLIT_SERVER_PORT=8501
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "import os, urllib.request as web; web.urlopen('http://localhost:' + os.environ['STREAMLIT_SERVER_PORT'] + '/_stcore/health', timeout=4)"]
CMD ["kronos", "app", "--host", "0.0.0.0"]
