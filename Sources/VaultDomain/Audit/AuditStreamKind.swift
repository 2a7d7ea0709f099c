/// How records are sent: a signed webhook (Standard Webhooks), or the logs endpoint of a collector (OTLP/HTTP, JSON).
package enum AuditStreamKind: String, Sendable, CaseIterable { case webhook, otlp }
