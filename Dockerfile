# The image has the binary and the empty folders that volumes are mounted at,
# owned by the user who runs it; nothing else.
ARG GO_IMAGE=golang:1.26
FROM ${GO_IMAGE} AS build
LABEL org.opencontainers.image.title=skein
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /image/skein ./cmd/skein \
 && mkdir -p /image/cluster /image/tokens /image/members

FROM scratch
LABEL org.opencontainers.image.title=skein
COPY --from=build --chown=65532:65532 /image/ /
USER 65532:65532
ENTRYPOINT ["/skein"]
