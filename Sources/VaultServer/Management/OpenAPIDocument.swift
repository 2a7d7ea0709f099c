import VaultAPI
import VaultService

/// `GET /api/v1/openapi.json`, made from the routes themselves: each says what it takes and answers, and the conformance
/// suite holds that against what it does.
enum OpenAPIDocument {
    static func route(_ management: RouteTable<OperatorCaller>) -> Route<Visitor> {
        let document = JSON.object(make(management.routes))
        return Route("GET", "/api/v1/openapi.json", "This document") { _, _ in .json(document) }
    }

    static func make(_ routes: [Route<OperatorCaller>]) -> JSONObject {
        var paths = JSONObject()
        for route in routes {
            var operations = paths[route.template]?.object ?? [:]
            operations[route.method.lowercased()] = .object(operation(route))
            paths[route.template] = .object(operations)
        }
        var schemas: JSONObject = ["Error": errorSchema]
        for (name, fields) in OpenAPISchemas.all { schemas[name] = objectSchema(fields) }
        return [
            "openapi": "3.1.0",
            "info": ["title": "Sallyport Management API", "version": "1"],
            "security": [["personalAccessToken": []]],
            "paths": .object(paths),
            "components": [
                "securitySchemes": ["personalAccessToken": ["type": "http", "scheme": "bearer"]],
                "schemas": .object(schemas),
            ],
        ]
    }

    private static func operation(_ route: Route<OperatorCaller>) -> JSONObject {
        let inPath = route.template.split(separator: "/").filter { $0.hasPrefix("{") }.map { segment -> JSON in
            parameter(.required(String(segment.dropFirst().dropLast())), in: "path")
        }
        var object: JSONObject = [
            "summary": .string(route.summary), "operationId": .string(operationID(route)),
            "parameters": .array(inPath + route.query.map { parameter($0, in: "query") }),
            "responses": .object([
                String(route.successStatus): success(route.answer),
                "default": ["description": "Refused", "content": content(reference("Error"))],
            ]),
        ]
        if let body = route.body {
            object["requestBody"] = [
                "required": .bool(body.contains(where: \.isRequired)), "content": content(objectSchema(body)),
            ]
        }
        return object
    }

    private static func parameter(_ field: RouteField, in place: JSON) -> JSON {
        ["name": .string(field.name), "in": place, "required": .bool(field.isRequired), "schema": schema(field.kind)]
    }

    private static func success(_ answer: RouteAnswer?) -> JSON {
        switch answer {
        case nil: ["description": "Done"]
        case .one(let name): ["description": "Done", "content": content(reference(name))]
        case .file(let types):
            [
                "description": "A file",
                "content": .object(
                    types.reduce(into: JSONObject()) { $0[$1] = ["schema": ["type": "string"]] }),
            ]
        case .page(let name):
            [
                "description": "A page",
                "content": content([
                    "type": "object", "required": ["items", "next_cursor"],
                    "properties": [
                        "items": ["type": "array", "items": reference(name)],
                        "next_cursor": ["type": ["string", "null"]],
                    ],
                ]),
            ]
        }
    }

    private static func content(_ schema: JSON) -> JSON { ["application/json": ["schema": schema]] }
    private static func reference(_ name: String) -> JSON { ["$ref": .string("#/components/schemas/" + name)] }

    /// Bodies refuse members that are not here; answers may grow.
    private static func objectSchema(_ fields: [RouteField]) -> JSON {
        var properties = JSONObject()
        for field in fields { properties[field.name] = schema(field.kind) }
        return [
            "type": "object", "required": .strings(fields.filter(\.isRequired).map(\.name)),
            "properties": .object(properties),
        ]
    }

    private static func schema(_ kind: RouteField.Kind) -> JSON {
        switch kind {
        case .strings: ["type": "array", "items": ["type": "string"]]
        case .objects: ["type": "array", "items": ["type": "object"]]
        default: ["type": .array([.string(kind.rawValue), "null"])]
        }
    }

    private static func operationID(_ route: Route<OperatorCaller>) -> String {
        let words = route.template.dropFirst("/api/v1/".count).split(separator: "/").map {
            String($0).replacing("{", with: "").replacing("}", with: "")
        }
        return ([route.method.lowercased()] + words).joined(separator: "_").replacing("-", with: "_")
    }

    private static let errorSchema: JSON = [
        "type": "object", "required": ["error", "message"],
        "properties": [
            "error": ["type": "string"], "message": ["type": "string"], "hint": ["type": "string"],
            "details": ["type": "object"],
        ],
    ]
}
