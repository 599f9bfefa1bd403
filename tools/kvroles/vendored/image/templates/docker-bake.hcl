# docker buildx bake            builds and, with --push, publishes both platforms
# docker buildx bake --print    shows what it would do

variable "TAG" {
  default = "$tag"
}

group "default" {
  targets = ["vllm"]
}

target "vllm" {
  context    = "."
  dockerfile = "Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  network    = "none"
  tags       = [TAG]
  args = {
    SOURCE_DATE_EPOCH = "315532800"
  }
  attest = ["type=provenance,mode=max"]
  output = ["type=image,rewrite-timestamp=true"]
}
