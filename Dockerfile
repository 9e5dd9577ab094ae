# docker build -t dropblock . && docker run --rm -v "$PWD/reports:/dropblock/reports" dropblock
FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /dropblock
COPY . .
RUN make setup
CMD ["make", "run"]
