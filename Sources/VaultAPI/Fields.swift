// Reading a JSON object field by field. Every problem is collected, so that a caller learns all of them at once; the
// values returned for bad fields are empty stand-ins that never leave, because `finish()` throws first.

/// One bad field of a body or query.
package struct FieldProblem: Sendable, Equatable {
    package let field: String
    package let problem: String

    package init(field: String, problem: String) {
        self.field = field
        self.problem = problem
    }

    package var json: JSON { ["field": .string(field), "problem": .string(problem)] }
}

extension VaultError {
    /// More would only make the answer larger than the request.
    private static let problemsShown = 50

    /// 422 with `details.fields` (management contract, “Authentication”); of very many problems, the first ones.
    package static func validation(_ problems: [FieldProblem]) -> VaultError {
        let shown = problems.prefix(problemsShown)
        var message = shown.map { "\($0.field): \($0.problem)" }.joined(separator: "; ")
        if problems.count > shown.count { message += "; and \(problems.count - shown.count) more" }
        return VaultError(.validationFailed, message, details: ["fields": .array(shown.map(\.json))])
    }

    package static func validation(_ field: String, _ problem: String) -> VaultError {
        validation([FieldProblem(field: field, problem: problem)])
    }
}

package final class Fields {
    package enum UnknownMembers { case refused, ignored }

    private let object: JSONObject
    private let unknownMembers: UnknownMembers
    private let prefix: String
    private var known: Set<String> = []
    private var nested: [Fields] = []
    private var problems: [FieldProblem] = []

    package init(_ object: JSONObject, unknownMembers: UnknownMembers, prefix: String = "") {
        self.object = object
        self.unknownMembers = unknownMembers
        self.prefix = prefix
    }

    /// Reads a whole body, which must be a JSON object.
    package convenience init(body: [UInt8], unknownMembers: UnknownMembers) throws {
        let value: JSON
        do {
            value = try JSON(parsing: body)
        } catch {
            throw VaultError(.invalidJSON, "The body is not valid JSON.", cause: "\(error)")
        }
        guard let object = value.object else {
            throw VaultError.validation("body", "must be a JSON object")
        }
        self.init(object, unknownMembers: unknownMembers)
    }

    package func report(_ field: String, _ problem: String) {
        problems.append(FieldProblem(field: prefix + field, problem: problem))
    }

    /// The member, with `null` read as absent.
    package func value(_ name: String) -> JSON? {
        note(name)
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    /// Whether the member was sent at all, `null` included.
    package func isPresent(_ name: String) -> Bool {
        note(name)
        return object[name] != nil
    }

    private func note(_ name: String) { if unknownMembers == .refused { known.insert(name) } }

    package func has(_ name: String) -> Bool { object[name].map { !$0.isNull } ?? false }

    package func optionalString(_ name: String, length: ClosedRange<Int> = 1...2048) -> String? {
        guard let value = value(name) else { return nil }
        guard let string = value.string else {
            report(name, "must be a string")
            return nil
        }
        return check(string, name, length) ? string : nil
    }

    package func string(_ name: String, length: ClosedRange<Int> = 1...2048) -> String {
        guard has(name) else {
            _ = value(name)
            report(name, "is required")
            return ""
        }
        return optionalString(name, length: length) ?? ""
    }

    private func check(_ string: String, _ name: String, _ length: ClosedRange<Int>) -> Bool {
        guard length.contains(string.unicodeScalars.count) else {
            report(name, "must have \(length.lowerBound) to \(length.upperBound) characters")
            return false
        }
        guard !string.unicodeScalars.contains("\0") else {
            report(name, "must not contain NUL")
            return false
        }
        return true
    }

    package func optionalBool(_ name: String) -> Bool? {
        guard let value = value(name) else { return nil }
        if value.bool == nil { report(name, "must be true or false") }
        return value.bool
    }

    package func optionalInteger(_ name: String, in range: ClosedRange<Int64>) -> Int64? {
        guard let value = value(name) else { return nil }
        guard let integer = value.number?.integer, range.contains(integer) else {
            report(name, "must be an integer from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return integer
    }

    package func optionalStrings(_ name: String, countMax: Int = 200, length: ClosedRange<Int> = 1...512) -> [String]? {
        guard let value = value(name) else { return nil }
        guard let array = value.array, array.count <= countMax else {
            report(name, "must be a list of at most \(countMax) strings")
            return nil
        }
        var strings: [String] = []
        for (index, element) in array.enumerated() {
            guard let string = element.string else {
                report("\(name)[\(index)]", "must be a string")
                continue
            }
            if check(string, "\(name)[\(index)]", length) { strings.append(string) }
        }
        return strings
    }

    package func optionalInstant(_ name: String) -> Instant? {
        guard let text = optionalString(name, length: 1...64) else { return nil }
        let instant = Instant(rfc3339: text)
        if instant == nil { report(name, "must be an RFC 3339 date-time with a zone") }
        return instant
    }

    package func optionalObject(_ name: String) -> JSONObject? {
        guard let value = value(name) else { return nil }
        if value.object == nil { report(name, "must be an object") }
        return value.object
    }

    /// A nested object read with the same strictness; its problems are reported by this reader's `finish()`.
    package func optionalFields(_ name: String) -> Fields? {
        guard let object = optionalObject(name) else { return nil }
        let fields = Fields(object, unknownMembers: unknownMembers, prefix: prefix + name + ".")
        nested.append(fields)
        return fields
    }

    /// A list of nested objects, each read with the same strictness.
    package func optionalFieldsList(_ name: String, countMax: Int) -> [Fields]? {
        guard let value = value(name) else { return nil }
        guard let array = value.array, array.count <= countMax else {
            report(name, "must be a list of at most \(countMax) objects")
            return nil
        }
        return array.enumerated().compactMap { index, element in
            guard let object = element.object else {
                report("\(name)[\(index)]", "must be an object")
                return nil
            }
            let fields = Fields(object, unknownMembers: unknownMembers, prefix: "\(prefix)\(name)[\(index)].")
            nested.append(fields)
            return fields
        }
    }

    package func optionalChoice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String, _: Choice.Type)
        -> Choice?
    {
        guard let text = optionalString(name) else { return nil }
        let choice = Choice(rawValue: text)
        if choice == nil { report(name, "must be one of " + Choice.allCases.map(\.rawValue).joined(separator: ", ")) }
        return choice
    }

    private var allProblems: [FieldProblem] {
        let unknown =
            unknownMembers == .refused
            ? object.names.filter { !known.contains($0) }.map {
                FieldProblem(field: prefix + String($0.prefix(64)), problem: "is not a known field")
            } : []
        return problems + unknown + nested.flatMap(\.allProblems)
    }

    /// Throws `validation_failed` with every problem met.
    package func finish() throws {
        let all = allProblems
        guard all.isEmpty else { throw VaultError.validation(all) }
    }
}
