"""HCL: Terraform, OpenTofu, Nomad, Packer, bake files."""
