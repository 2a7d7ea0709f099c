import Foundation
import VaultAPI
import VaultCrypto

/// What a form sent: every name may come several times.
struct FormValues: Sendable {
    private let items: [(name: String, value: String)]
    private let byName: [String: [String]]

    init(_ items: [(name: String, value: String)] = []) {
        self.items = items
        byName = Dictionary(grouping: items, by: \.name).mapValues { $0.map(\.value) }
    }

    /// The first value, without blanks around it; empty when there is none.
    subscript(_ name: String) -> String { self.raw(name).trimmingCharacters(in: .whitespacesAndNewlines) }

    /// As it was typed: for passwords and secrets.
    func raw(_ name: String) -> String { byName[name]?.first ?? "" }

    func secret(_ name: String) -> Secret { Secret(raw(name)) }

    func all(_ name: String) -> [String] { (byName[name] ?? []).filter { !$0.isEmpty } }

    func has(_ name: String, _ value: String) -> Bool { byName[name]?.contains(value) == true }

    /// The words of a text, for what holds no blank or comma itself.
    func words(_ name: String) -> [String] {
        raw(name).split(whereSeparator: { $0.isWhitespace || $0 == "," }).map(String.init)
    }

    /// The same values under other names; without those that get none.
    func renaming(_ name: (String) -> String?) -> FormValues {
        FormValues(items.compactMap { item in name(item.name).map { (name: $0, value: item.value) } })
    }

    /// The pieces of a text that holds one on each line, or between commas.
    func list(_ name: String) -> [String] {
        all(name).flatMap { $0.split(whereSeparator: { $0.isNewline || $0 == "," }) }
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    /// How a field of a form becomes a member of the body that the Management API takes for the same operation.
    enum Kind: Sendable {
        case text(String)
        /// Left out when empty.
        case optional(String)
        /// Null when empty: takes away what was there.
        case nullable(String)
        case secret(String)
        case integer(String)
        /// One on each line, or several fields of the name; left out when empty.
        case list(String)
        case flag(String)
        /// Only a date and time without a zone, as browsers send them: read as UTC.
        case dateTime(String)
        case json(String, JSON?)
    }

    /// The same reader, and so the same checks and words, as for the body of an API call.
    func fields(_ kinds: Kind...) -> Fields { Fields(object(kinds), unknownMembers: .refused) }

    func object(_ kinds: [Kind]) -> JSONObject {
        var object = JSONObject()
        for kind in kinds {
            switch kind {
            case .text(let name): object[name] = self[name].isEmpty ? nil : .string(self[name])
            case .optional(let name): if !self[name].isEmpty { object[name] = .string(self[name]) }
            case .nullable(let name): object[name] = self[name].isEmpty ? .null : .string(self[name])
            case .secret(let name): if !raw(name).isEmpty { object[name] = .string(raw(name)) }
            case .integer(let name):
                if !self[name].isEmpty { object[name] = Int64(self[name]).map { .integer($0) } ?? .string(self[name]) }
            case .list(let name): if !list(name).isEmpty { object[name] = .strings(list(name)) }
            case .flag(let name): object[name] = .bool(!all(name).isEmpty)
            case .dateTime(let name):
                if !self[name].isEmpty { object[name] = .string(Self.instantText(self[name])) }
            case .json(let name, let value): if let value { object[name] = value }
            }
        }
        return object
    }

    /// `2026-11-28T17:00` becomes `2026-11-28T17:00:00Z`.
    private static func instantText(_ text: String) -> String {
        guard !text.hasSuffix("Z"), text.contains("T"), !text.contains("+") else { return text }
        return text + (text.filter { $0 == ":" }.count == 1 ? ":00Z" : "Z")
    }
}

/// A form as it is shown again: what was typed, and what is wrong with it.
struct FormState: Sendable {
    var values = FormValues()
    /// By field.
    var problems: [String: String] = [:]
    /// What is wrong with the whole.
    var message: String?
    /// Whether it was sent already: only then the values say what is not ticked.
    var isSent = false

    init() {}

    /// For a form that begins with what is stored.
    init(_ stored: [(name: String, value: String)]) {
        values = FormValues(stored)
        isSent = true
    }

    init(_ values: FormValues, _ error: VaultError) {
        self.values = values
        isSent = true
        for item in error.details["fields"]?.array ?? [] {
            guard let field = item["field"]?.string, let problem = item["problem"]?.string else { continue }
            problems[field] = problem
        }
        message = problems.isEmpty ? error.message + (error.hint.map { " " + $0 } ?? "") : nil
    }

    /// Problems of this field and of its elements: `scopes[3]` belongs to `scopes`.
    func problem(_ name: String) -> String? {
        let found = problems.filter {
            $0.key == name || $0.key.hasPrefix(name + "[") || $0.key.hasPrefix(name + ".")
        }.sorted { $0.key < $1.key }.map { $0.key == name ? $0.value : "\(Self.element($0.key, of: name)) \($0.value)" }
        return found.isEmpty ? nil : found.joined(separator: "; ")
    }

    /// `scopes[3]` is the fourth entry of `scopes`.
    private static func element(_ key: String, of name: String) -> String {
        let place = key.dropFirst(name.count + 1).dropLast()
        return key.hasSuffix("]") ? Int(place).map { "(entry \($0 + 1))" } ?? key : key
    }
}

extension Exchange {
    var form: FormValues { FormValues(FormText.decode(String(decoding: body, as: UTF8.self))) }

    /// What a form with method GET sent.
    var queryForm: FormValues { FormValues(FormText.decode(rawQuery ?? "")) }

    /// Runs what a form asks for; a refusal that its sender can mend shows the form again, with the reason.
    func submitting(
        _ form: FormValues, again: (FormState) throws -> Answer, _ body: () async throws -> Answer
    ) async throws -> Answer {
        do {
            return try await body()
        } catch let error as VaultError where Self.isMendable(error.code) {
            var answer = try again(FormState(form, error))
            answer.status = error.code.status
            answer.errorCode = error.code
            return answer
        }
    }

    private static func isMendable(_ code: ErrorCode) -> Bool {
        switch code {
        case .notFound, .identityProviderNotFound, .grantNotFound, .forbidden, .unauthenticated, .internalError,
            .serviceUnavailable:
            false
        default: true
        }
    }
}
