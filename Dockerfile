# Masks for a folder of scans, on a CPU and without torch:
#   docker build -t hemoseg .
#   docker run --rm --network none -v "$PWD/scans:/input:ro" -v "$PWD/masks:/predict" hemoseg
# More options go to the end, like --time-budget 60s. docs/how-to/rehearse-a-challenge.md puts a model of yours in.
# Research use only. Not a medical device.
FROM python:3.12-slim
COPY pyproject.toml constraints.txt README.md LICENSE /hemoseg/
COPY src /hemoseg/src
RUN pip install --no-cache-dir --constraint /hemoseg/constraints.txt /hemoseg
ENTRYPOINT ["hemoseg", "segment", "/input", "--out", "/predict", "--layout", "flat"]
