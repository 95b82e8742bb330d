# docker build -t brainnet .
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" brainnet demo --out /data/demo
#
# --user makes the files yours. Make a folder that you mount before you mount it: a folder that is not there yet, Docker
# makes as root, and nobody else can write into it. The first line that cannot write says so.
FROM python:3.11-slim

# Any user may keep downloads in /cache and write to /data where no folder of the host is mounted.
RUN useradd --create-home --uid 1000 brainnet && mkdir -p /data /cache && chmod 1777 /data /cache
WORKDIR /opt/brainnet
COPY pyproject.toml README.md LICENSE ./
COPY brainnet brainnet
COPY configs configs
RUN pip install --no-cache-dir .

USER brainnet
# data: what you bring and what comes out; cache: downloaded weights and meshes, kept between runs with -v brainnet:/cache
ENV HOME=/tmp BRAINNET_HOME=/cache/brainnet HF_HOME=/cache/huggingface TORCH_HOME=/cache/torch \
    NILEARN_DATA=/cache/nilearn MPLCONFIGDIR=/cache/matplotlib
VOLUME ["/data", "/cache"]
WORKDIR /data
ENTRYPOINT ["brainnet"]
CMD ["demo", "--out", "/data/demo"]
