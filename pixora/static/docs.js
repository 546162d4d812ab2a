// Starts Swagger UI. A file of its own, because the Content-Security-Policy forbids inline scripts.
SwaggerUIBundle({
  url: document.currentScript.dataset.openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0, // operations show their schemas
  validatorUrl: null, // the default sends the document to a service on the Internet
});
