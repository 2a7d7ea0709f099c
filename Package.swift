// swift-tools-version:6.2
import PackageDescription

// One direction: SallyportCLI → VaultServer → VaultService → {VaultStore, VaultUpstream} → {VaultDomain, VaultCrypto};
// VaultAPI is a leaf. docs/ARCHITECTURE.md says what belongs where. Versions are exact because Package.resolved is not kept.

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InferIsolatedConformances"),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTLS = Target.Dependency.product(name: "HummingbirdTLS", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")

let package = Package(
    name: "sallyport",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "sallyport", targets: ["SallyportCLI"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .target(name: "VaultAPI", swiftSettings: settings),
        .target(name: "VaultDomain", dependencies: ["VaultAPI"], swiftSettings: settings),
        .target(name: "VaultCrypto", dependencies: ["VaultAPI", crypto, cryptoExtras], swiftSettings: settings),
        .target(
            name: "VaultStore", dependencies: ["VaultAPI", "VaultDomain", "VaultCrypto", "CPostgres", "CSQLite"],
            swiftSettings: settings),
        .target(
            name: "VaultUpstream",
            dependencies: [
                "VaultAPI", "VaultDomain", "VaultCrypto", asyncHTTPClient, nioCore, nioHTTP1, nioPosix, nioSSL,
            ],
            swiftSettings: settings),
        .target(
            name: "VaultService",
            dependencies: [
                "VaultAPI", "VaultDomain", "VaultCrypto", "VaultStore", "VaultUpstream", logging, serviceLifecycle,
            ],
            swiftSettings: settings),
        .target(
            name: "VaultServer",
            dependencies: [
                "VaultAPI", "VaultDomain", "VaultCrypto", "VaultStore", "VaultUpstream", "VaultService", hummingbird,
                hummingbirdCore, hummingbirdTLS,
                httpTypes, logging, nioCore, nioHTTP1, nioPosix, nioSSL, serviceLifecycle, unixSignals,
            ],
            resources: [.embedInCode("Assets")],
            swiftSettings: settings),
        .target(
            name: "DevelopmentPeers",
            dependencies: [
                "VaultAPI", "VaultCrypto", hummingbird, hummingbirdCore, httpTypes, logging, nioCore, serviceLifecycle,
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "SallyportCLI",
            dependencies: [
                "VaultAPI", "VaultDomain", "VaultCrypto", "VaultStore", "VaultUpstream", "VaultService", "VaultServer",
                "DevelopmentPeers", argumentParser, logging, nioCore, nioPosix, unixSignals,
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "VaultBenchmarks", dependencies: ["VaultAPI", "VaultDomain", "VaultCrypto", "VaultStore"],
            path: "Benchmarks/VaultBenchmarks", swiftSettings: settings),
        .executableTarget(
            name: "BareServer", dependencies: [hummingbird, hummingbirdCore, httpTypes, logging, nioCore],
            path: "Benchmarks/BareServer", swiftSettings: settings),
        .target(
            name: "VaultTestSupport",
            dependencies: [
                "VaultAPI", "VaultDomain", "VaultCrypto", "VaultStore", "VaultUpstream", "VaultService", "VaultServer",
                "DevelopmentPeers", asyncHTTPClient, logging, nioCore,
            ],
            path: "Tests/VaultTestSupport", swiftSettings: settings),
        .testTarget(
            name: "VaultDomainTests", dependencies: ["VaultAPI", "VaultDomain", "VaultCrypto", "VaultTestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "VaultCryptoTests", dependencies: ["VaultAPI", "VaultDomain", "VaultCrypto", crypto, cryptoExtras],
            resources: [.copy("Vectors")], swiftSettings: settings),
        .testTarget(
            name: "VaultStoreTests",
            dependencies: ["VaultAPI", "VaultDomain", "VaultCrypto", "VaultStore", "VaultTestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "VaultServerTests",
            dependencies: [
                "VaultAPI", "VaultDomain", "VaultCrypto", "VaultStore", "VaultUpstream", "VaultService", "VaultServer",
                "VaultTestSupport", "DevelopmentPeers", logging, nioCore,
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
