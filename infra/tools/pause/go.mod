// Holds a pod's namespaces open; does what registry.k8s.io/pause does, which is C and no Go module.
module antenna.be/tools/pause

go 1.24.0
