# docker build -t brainnet . && docker run --rm -v "$PWD/results:/data" brainnet
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 brainnet \
    && mkdir -p /data /cache && chown brainnet:brainnet /data /cache
WORKDIR /opt/brainnet
COPY pyproject.toml README.md LICENSE ./
COPY brainnet brainnet
COPY configs configs
RUN pip install --no-cache-dir .

USER brainnet
# data: what you bring and what comes out; cache: downloaded weights and meshes, kept between runs
ENV BRAINNET_HOME=/cache/brainnet HF_HOME=/cache/huggingface TORCH_HOME=/cache/torch \
    NILEARN_DATA=/cache/nilearn MPLCONFIGDIR=/cache/matplotlib
VOLUME ["/data", "/cache"]
WORKDIR /data
ENTRYPOINT ["brainnet"]
CMD ["demo", "--out", "/data/demo"]
