// Starts Swagger UI. A file of its own, because the page's policy allows no inline script.
SwaggerUIBundle({
  url: document.currentScript.dataset.openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0, // the schemas are told where they are used
  validatorUrl: null, // the default sends the document to a service on the Internet
});
