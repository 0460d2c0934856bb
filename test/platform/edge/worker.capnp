using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    # Production needs no such line; here the model comes from this machine.
    (name = "internet", network = (allow = ["private", "local", "public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "simd.wasm", wasm = embed "simd.wasm"),
    (name = "relaxed.wasm", wasm = embed "relaxed.wasm"),
    (name = "quant.wasm", wasm = embed "quant.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  bindings = [
    (name = "MODEL_URL", fromEnvironment = "MODEL_URL"),
    (name = "ADAPTERS", fromEnvironment = "ADAPTERS"),
    (name = "HOSTS", fromEnvironment = "HOSTS"),
    (name = "HOST_MEMORY", fromEnvironment = "HOST_MEMORY"),
  ],
);
