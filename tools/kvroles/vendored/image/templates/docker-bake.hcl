# docker buildx bake            both platforms, into the file $archive (an OCI archive)
# docker buildx bake push       both platforms, to the registry that TAG names
# docker buildx bake local      this machine's platform, into the local images
# docker buildx bake --print    shows what it would do

variable "TAG" {
  default = "$tag"
}

group "default" {
  targets = ["archive"]
}

target "vllm" {
  context    = "."
  dockerfile = "Dockerfile"
  network    = "none"
  tags       = [TAG]
  args = {
    SOURCE_DATE_EPOCH = "315532800"
  }
}

target "archive" {
  inherits  = ["vllm"]
  platforms = ["linux/amd64", "linux/arm64"]
  attest    = ["type=provenance,mode=max"]
  output    = ["type=oci,dest=$archive,rewrite-timestamp=true"]
}

target "push" {
  inherits  = ["vllm"]
  platforms = ["linux/amd64", "linux/arm64"]
  attest    = ["type=provenance,mode=max"]
  output    = ["type=registry,rewrite-timestamp=true"]
}

target "local" {
  inherits = ["vllm"]
  output   = ["type=docker,rewrite-timestamp=true"]
}
