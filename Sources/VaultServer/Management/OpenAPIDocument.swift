import VaultAPI
import VaultService

/// `GET /api/v1/openapi.json`, made from the routes themselves.
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
        return [
            "openapi": "3.1.0",
            "info": ["title": "Sallyport Management API", "version": "1"],
            "security": [["personalAccessToken": []]],
            "paths": .object(paths),
            "components": [
                "securitySchemes": ["personalAccessToken": ["type": "http", "scheme": "bearer"]],
                "schemas": ["Error": errorSchema],
            ],
        ]
    }

    private static func operation(_ route: Route<OperatorCaller>) -> JSONObject {
        let parameters = route.template.split(separator: "/").filter { $0.hasPrefix("{") }.map { segment -> JSON in
            [
                "name": .string(String(segment.dropFirst().dropLast())), "in": "path", "required": true,
                "schema": ["type": "string"],
            ]
        }
        let success: JSON =
            route.successStatus == 204
            ? ["description": "Done"]
            : ["description": "Done", "content": ["application/json": ["schema": ["type": "object"]]]]
        let refusal: JSON = [
            "description": "Refused",
            "content": ["application/json": ["schema": ["$ref": "#/components/schemas/Error"]]],
        ]
        var object: JSONObject = [
            "summary": .string(route.summary), "operationId": .string(operationID(route)),
            "parameters": .array(parameters),
            "responses": .object([String(route.successStatus): success, "default": refusal]),
        ]
        if ["POST", "PUT", "PATCH"].contains(route.method) {
            object["requestBody"] = ["content": ["application/json": ["schema": ["type": "object"]]]]
        }
        return object
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
