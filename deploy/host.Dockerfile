# The same image as ../Dockerfile, from a folder that the host has filled; see
# the target testnet of the Makefile.
FROM scratch
LABEL org.opencontainers.image.title=skein
COPY --chown=65532:65532 . /
USER 65532:65532
ENTRYPOINT ["/skein"]
